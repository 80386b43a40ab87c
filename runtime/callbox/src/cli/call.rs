//! `callbox call`.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};

use super::CallArgs;
use crate::phone::{Dial, Progress, call};

pub fn run(args: CallArgs) -> Result<ExitCode> {
    check_digits(&args.digits)?;
    let dial = Dial {
        uri: args.uri,
        from: args.from,
        digits: args.digits,
        record: args.record,
        play: args.play,
        ring: Duration::from_secs(args.ring_seconds.into()),
        talk: Duration::from_secs(args.seconds.into()),
        tcp: args.tcp,
    };
    let say = |line: String| {
        if !args.quiet {
            println!("{line}");
            let _ = std::io::stdout().flush();
        }
    };
    let told = call(&dial, &mut |progress| say(words(&progress)))?;
    if !told.answered {
        eprintln!("callbox: refused: {} {}", told.cause.status, told.cause.reason);
        return Ok(ExitCode::FAILURE);
    }
    let who = if told.cause.remote { "they hung up" } else { "we hung up" };
    let heard = told.frames.received as f64 / 50.0;
    say(format!("{who} after {:.1} s; {heard:.1} s of sound came in", told.talked.as_secs_f64()));
    if let Some(file) = &dial.record {
        say(format!("what was heard is in {}", file.display()));
    }
    Ok(ExitCode::SUCCESS)
}

fn words(progress: &Progress<'_>) -> String {
    match progress {
        Progress::Dialling { from } => format!("dialling from {from}"),
        Progress::Ringing(status) => format!("ringing ({status})"),
        Progress::Answered { codec } => format!("answered, {codec}"),
        Progress::Digit(digit) => format!("they pressed {digit}"),
        Progress::Pressed => "digits pressed".to_owned(),
        Progress::HangingUp => "hanging up".to_owned(),
    }
}

fn check_digits(digits: &str) -> Result<()> {
    match digits.chars().find(|digit| !"0123456789*#ABCDabcdw".contains(*digit)) {
        None => Ok(()),
        Some(wrong) => bail!("`{wrong}` is no key of a phone: expected 0-9, *, #, A-D, or w for a pause"),
    }
}
