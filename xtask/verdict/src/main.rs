//! `verdict SESSION POLICY NOW_MS`: prints the verdict, natively.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [session, policy, now_ms] = arguments.as_slice() else {
        return Err("verdict SESSION POLICY NOW_MS".into());
    };
    let session = std::fs::read(session)?;
    let policy = std::fs::read_to_string(policy)?;
    print!("{}", verdict::judge(&session, &policy, now_ms.parse()?));
    Ok(())
}
