//! Times in milliseconds, and what is said of many of them.

use serde_json::{Value, json};

/// What one side was measured at.
pub(crate) struct Series {
    /// Who, and cold or warm.
    pub(crate) name: String,
    /// One value a run, in the order of the runs.
    pub(crate) total_ms: Vec<f64>,
}

impl Series {
    pub(crate) fn new(name: impl Into<String>, total_ms: Vec<f64>) -> Self {
        Self {
            name: name.into(),
            total_ms,
        }
    }

    pub(crate) fn median(&self) -> f64 {
        quantile(&self.total_ms, 0.5)
    }

    pub(crate) fn p95(&self) -> f64 {
        quantile(&self.total_ms, 0.95)
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "name": self.name, "runs": self.total_ms.len(),
            "median_ms": self.median(), "p95_ms": self.p95(), "total_ms": self.total_ms,
        })
    }
}

/// The value at `q`, between the two nearest ranks where it falls between them;
/// not a number when there are no values.
pub(crate) fn quantile(values: &[f64], q: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = q * sorted.len().saturating_sub(1) as f64;
    let (low, high) = (
        sorted.get(at.floor() as usize),
        sorted.get(at.ceil() as usize),
    );
    match (low, high) {
        (Some(low), Some(high)) => low + (high - low) * at.fract(),
        _ => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_unsorted_values() {
        let values = [4.0, 1.0, 3.0, 2.0];
        assert_eq!(quantile(&values, 0.0), 1.0);
        assert_eq!(quantile(&values, 0.5), 2.5);
        assert_eq!(quantile(&values, 1.0), 4.0);
        assert!(quantile(&[], 0.5).is_nan());
    }
}
