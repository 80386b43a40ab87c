//! What is told to nobody: who called, and what was pressed in confidence.

use std::path::Path;

use anyhow::{Context, Result};
use callbox_tests::address;
use callbox_tests::ear::Ear;
use callbox_tests::phones::{Sipp, callbox};
use callbox_tests::server::Server;
use callbox_tests::tenant::{Tenant, faults, items, lines, text};

/// At the level that operators keep, no line says who called whom, from where, or what was pressed:
/// not of a call that goes well, nor of one that is refused, or whose module falls.
#[tokio::test]
async fn the_log_at_info_does_not_say_who_called() -> Result<()> {
    const CALLER: &str = "4930112233445";
    const CALLED: &str = "4989556677889";
    const NOBODYS: &str = "4940667788990";
    let mut server = Server::start_at_level("info", "").await?;
    let tenant = Tenant::make(&server, "acme").await?;
    tenant.behaviours(CALLED, &["echo-digits"]).await?;
    tenant.behaviours("100", &["trap-before-answer", "returns-error"]).await?;
    let heard = server.scratch("heard.wav");
    let with = ["--from", CALLER, "--digits", "w86420975", "--seconds", "3"];
    let (answered, said) = callbox(&server.uri(CALLED), &heard, &with).await?;
    assert!(answered, "{said}");
    let (answered, _) = callbox(&server.uri(NOBODYS), &heard, &["--from", CALLER]).await?;
    assert!(!answered);
    callbox(&server.uri("100"), &heard, &["--from", CALLER, "--seconds", "10"]).await?;
    let (from, to) = (address::fresh(), server.address);
    let sipp = Sipp { scenario: "named", from, to, number: CALLED, calls: 1, rate: 1, pause_ms: 300, tcp: false };
    sipp.run(&server.scratch("sipp")).await?;

    // The record of the calls has it all: that is where it belongs.
    let calls = tenant.ended_calls(3).await?;
    let record = serde_json::to_string(&calls)?;
    for known in [CALLER, CALLED, "erika.mustermann", &from.to_string()] {
        assert!(record.contains(known), "{known} is not in the record of the calls: {record}");
    }
    let mut faulted = Vec::new();
    for call in &calls {
        faulted.extend(faults(&tenant.timeline(&text(call, "id")?).await?).into_iter().map(str::to_owned));
    }
    assert_eq!(faulted, ["trap-unreachable", "returned-error"]);

    server.terminate().await?;
    let log = server.log();
    assert!(log.contains("the API listens") && log.contains("stopped"), "this is not the log at info:\n{log}");
    for secret in [CALLER, CALLED, NOBODYS, "erika", "Erika", "mustermann", "Mustermann", &from.to_string(), "86420975"]
    {
        let told = log.lines().find(|line| line.contains(secret));
        assert_eq!(told, None, "`{secret}` is in the log");
    }
    Ok(())
}

/// The caller talks all the time; while digits are gathered that nobody may see, the recording does
/// not hear it.
#[tokio::test]
async fn a_recording_is_silent_while_digits_are_gathered_in_confidence() -> Result<()> {
    let server = Server::start("").await?;
    let tenant = Tenant::make(&server, "acme").await?;
    tenant.behaviours("100", &["record-sensitive"]).await?;
    let (voice, heard) = (server.scratch("voice.wav"), server.scratch("heard.wav"));
    hum(&voice, 1_000.0)?;
    let play = voice.display().to_string();
    let with = ["--play", &play, "--digits", "wwwwww4711", "--seconds", "30"];
    let (answered, said) = callbox(&server.uri("100"), &heard, &with).await?;
    assert!(answered && said.contains("they hung up"), "{said}");

    let (_, events, _) = tenant.only_call().await?;
    assert_eq!(lines(&events), ["4 digits were gathered"]);
    let recordings = tenant.rest.get("/v1/recordings").await?;
    let id = text(items(&recordings).first().context("no recording")?, "id")?;
    let file = server.scratch("recording.wav");
    std::fs::write(&file, tenant.rest.download(&format!("/v1/recordings/{id}/audio")).await?)?;
    let tracks = Ear::channels(&file)?;
    let [caller, callee] = &tracks[..] else { anyhow::bail!("{} tracks", tracks.len()) };

    // 1.5 s of the caller, then the prompt that begins the gathering, then nothing for the 1.5 s until
    // the first digit and while the digits are pressed, then the caller again.
    let began_s = callee.longest(600.0).context("the prompt is not in the recording")?.from_s;
    let (level, end_s) = (|from_s, to_s| caller.level_between_db(from_s, to_s), caller.length_s());
    let [before, during, after] =
        [level(began_s - 1.0, began_s - 0.1), level(began_s + 0.1, began_s + 1.9), level(end_s - 1.0, end_s)];
    assert!(during < -70.0, "the caller is heard at {during:.0} dB while digits are gathered");
    assert!(before > -25.0 && after > -25.0, "and is not before, or after: {before:.0} and {after:.0} dB");

    // Nor do the digits stand anywhere in words.
    let gathered = events.iter().find(|event| event["type"] == "call.gathered").context("nothing gathered")?;
    assert_eq!(gathered["data"]["digits"], "****");
    for event in &events {
        assert!(event["type"] != "call.digit", "{event}");
        let data = event["data"].to_string();
        assert!(!data.contains("4711") && !data.contains("\"digit\""), "{event}");
    }
    // Past the time, which may have them by chance.
    let told = server.log();
    let told = told.lines().find(|line| line.split_once(' ').is_some_and(|(_, rest)| rest.contains("4711")));
    assert_eq!(told, None, "the digits are in the log");
    Ok(())
}

/// Half a minute of a tone.
fn hum(path: &Path, hz: f32) -> Result<()> {
    let (bits_per_sample, sample_format) = (16, hound::SampleFormat::Int);
    let spec = hound::WavSpec { channels: 1, sample_rate: 8_000, bits_per_sample, sample_format };
    let mut file = hound::WavWriter::create(path, spec)?;
    for at in 0..8_000 * 30 {
        file.write_sample((8_000.0 * (std::f32::consts::TAU * hz * at as f32 / 8_000.0).sin()) as i16)?;
    }
    Ok(file.finalize()?)
}
