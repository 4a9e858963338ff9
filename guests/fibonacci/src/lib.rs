//! The Fibonacci sequence in 32-bit wrapping arithmetic. Pure.

/// The `n`-th and the next Fibonacci number, modulo 2^32; `(0, 1)` for 0.
#[must_use]
pub fn fibonacci(n: u32) -> (u32, u32) {
    let (mut a, mut b) = (0u32, 1u32);
    for _ in 0..n {
        (a, b) = (b, a.wrapping_add(b));
    }
    (a, b)
}

#[cfg(test)]
mod tests {
    use super::fibonacci;

    #[test]
    fn known_terms() {
        assert_eq!(fibonacci(0), (0, 1));
        assert_eq!(fibonacci(1), (1, 1));
        assert_eq!(fibonacci(20), (6765, 10946));
        assert_eq!(fibonacci(47).0, 2_971_215_073); // the last that fits
        assert_eq!(fibonacci(48).0, 512_559_680); // 4807526976 - 2^32
    }
}
