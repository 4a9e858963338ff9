//! What the SDK's user sees when something is wrong: run, judged and printed
//! as a table, which also goes to `failures.json`.

use super::{
    cases::{flags, serve},
    client::{Answer, Call, Route, program},
    scratch,
    server::Server,
};
use crate::shell::{Failure, Result};
use serde_json::{Value, json};

/// One thing that is wrong.
struct Wrong {
    what: &'static str,
    arguments: Vec<String>,
    /// Whether the mode's not hiding is acknowledged.
    acknowledge: bool,
    expected: Expected,
}

enum Expected {
    /// The SDK's kind of error.
    Kind(&'static [&'static str]),
    /// A text that tells the user what to do.
    Text(&'static str),
    /// `sdk-check` judges it itself.
    Judged,
}

use Expected::{Judged, Kind, Text};

const UNEXECUTABLE: Expected = Kind(&["unexecutable"]);

fn wrongs() -> Vec<Wrong> {
    let wrong = |what, guest: &str, arguments: &[&str], expected| Wrong {
        what,
        arguments: arguments[..1]
            .iter()
            .map(|command| (*command).to_owned())
            .chain(program(guest))
            .chain(arguments[1..].iter().map(|argument| (*argument).to_owned()))
            .collect(),
        acknowledge: true,
        expected,
    };
    let limits = [
        "prove",
        "--number",
        "1000",
        "--cycle-limit",
        "1000",
        "--gas-limit",
        "1000000000",
    ];
    let gas = [
        "prove",
        "--number",
        "1000",
        "--cycle-limit",
        "1000000000",
        "--gas-limit",
        "1",
    ];
    let panics = ["prove", "--random-stdin-bytes", "64"];
    let poor = [
        "prove",
        "--skip-simulation",
        "--balances",
        "1,2",
        "--threshold",
        "4",
    ];
    let malformed = ["prove", "--skip-simulation", "--random-stdin-bytes", "64"];
    let endless = ["prove", "--skip-simulation", "--timeout-s", "20"];
    let endless_reserved = [
        "prove",
        "--skip-simulation",
        "--timeout-s",
        "20",
        "--dialect",
        "reserved",
    ];
    let hungry = [
        "prove",
        "--skip-simulation",
        "--timeout-s",
        "240",
        "--dialect",
        "reserved",
    ];
    let late = [
        "prove",
        "--skip-simulation",
        "--number",
        "10",
        "--timeout-s",
        "0",
    ];
    let plonk = [
        "prove",
        "--skip-simulation",
        "--number",
        "10",
        "--mode",
        "plonk",
    ];
    let plain = ["prove", "--skip-simulation", "--number", "10"];
    let cancel = ["cancel", "--skip-simulation", "--after-s", "4"];
    let race = [
        "race",
        "--skip-simulation",
        "--number",
        "10",
        "--clients",
        "4",
    ];
    let reads = ["reads"];
    let mut all = vec![
        wrong(
            "more cycles than the limit",
            "fibonacci",
            &limits,
            UNEXECUTABLE,
        ),
        wrong("more gas than the limit", "fibonacci", &gas, UNEXECUTABLE),
        wrong("the guest panics", "panics", &panics, UNEXECUTABLE),
        wrong(
            "balances below the threshold",
            "solvency",
            &poor,
            UNEXECUTABLE,
        ),
        wrong(
            "an input of another program",
            "solvency",
            &malformed,
            UNEXECUTABLE,
        ),
        wrong("the guest never ends", "never_ends", &endless, LATE),
        wrong("the same, Reserved", "never_ends", &endless_reserved, LATE),
        wrong(
            "the guest takes all memory",
            "takes_all_memory",
            &hungry,
            OUT,
        ),
        wrong(
            "a deadline in the past",
            "fibonacci",
            &late,
            Text("deadline"),
        ),
        wrong(
            "a mode that is not offered",
            "fibonacci",
            &plonk,
            Text("plonk"),
        ),
        wrong(
            "cancelled while it is proved",
            "never_ends",
            &cancel,
            Judged,
        ),
        wrong("clients racing on one nonce", "fibonacci", &race, Judged),
    ];
    let mut unacknowledged = wrong(
        "not hiding, not acknowledged",
        "fibonacci",
        &plain,
        Text("acknowledge"),
    );
    unacknowledged.acknowledge = false;
    all.push(unacknowledged);
    // No program.
    all.push(Wrong {
        what: "lists of somebody else",
        arguments: reads.map(str::to_owned).to_vec(),
        acknowledge: true,
        expected: Judged,
    });
    all
}

const LATE: Expected = Kind(&["timed_out", "expired", "unfulfillable"]);
const OUT: Expected = Kind(&["unexecutable", "unfulfillable"]);

pub(crate) fn run() -> Result {
    let (built, server) = serve("failures", Route::Connect)?;
    let mut rows = Vec::new();
    let mut wrongly = Vec::new();
    for wrong in wrongs() {
        let mut call = Call::new(&built, &server, Route::Connect).with(&wrong.arguments);
        call.acknowledge = wrong.acknowledge;
        let answer = call.run()?;
        if !as_expected(&wrong.expected, &answer) {
            wrongly.push(wrong.what);
        }
        rows.push(row(&wrong, &answer));
    }
    drop(server);
    rows.push(not_direct(&mut wrongly)?);
    let file = scratch("failures-table")?.join("failures.json");
    let text = Value::from(rows.clone()).to_string();
    std::fs::write(&file, text).map_err(|error| Failure::of(file.display(), error))?;
    for row in &rows {
        println!("{row}");
    }
    match wrongly.is_empty() {
        true => Ok(()),
        false => Err(Failure::of(
            format!("{}: not as expected", file.display()),
            wrongly.join("; "),
        )),
    }
}

/// The gateway of a server that has the direct path off.
fn not_direct(wrongly: &mut Vec<&'static str>) -> Result<Value> {
    let (built, server): (_, Server) = serve("failures-direct-off", Route::Connect)?;
    debug_assert!(flags(Route::Connect).is_empty());
    let wrong = Wrong {
        what: "the direct path is off",
        arguments: Vec::new(),
        acknowledge: true,
        expected: Text("soundproof connect"),
    };
    let call = Call::new(&built, &server, Route::Direct)
        .with(["prove", "--skip-simulation", "--number", "10"])
        .with(program("fibonacci"));
    let answer = call.run()?;
    if !as_expected(&wrong.expected, &answer) {
        wrongly.push(wrong.what);
    }
    Ok(row(&wrong, &answer))
}

fn as_expected(expected: &Expected, answer: &Answer) -> bool {
    let error = answer.said["error"].as_str().unwrap_or_default();
    match expected {
        Judged => answer.success,
        Kind(kinds) => {
            !answer.success
                && answer.said["kind"]
                    .as_str()
                    .is_some_and(|kind| kinds.contains(&kind))
        }
        Text(text) => !answer.success && error.contains(text),
    }
}

fn row(wrong: &Wrong, answer: &Answer) -> Value {
    json!({
        "what": wrong.what,
        "as_expected": as_expected(&wrong.expected, answer),
        "wall_s": answer.wall.as_secs_f64(),
        "said": answer.said,
    })
}
