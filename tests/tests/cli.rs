//! The command line, as a developer uses it.

use std::process::{Command, Output};

use anyhow::{Context, Result};
use callbox_tests::server::{Server, binary, guest};

fn run(server: &Server, arguments: &[&str]) -> Result<Output> {
    let output = Command::new(binary())
        .args(arguments)
        .env("CALLBOX_API", format!("http://{}:8080", server.address))
        .env("CALLBOX_KEY_FILE", server.scratch("operator.key"))
        .output()?;
    Ok(output)
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test]
async fn a_module_is_pushed_called_and_billed() -> Result<()> {
    let server = Server::start("").await?;
    let module = guest("behaviours");
    let module = module.to_str().context("a path")?;
    let pushed = run(&server, &["push", module, "--number", "100", "--set", "behaviour=hang-up-at-once"])?;
    assert!(pushed.status.success(), "{}", said(&pushed));
    assert!(said(&pushed).contains("number 100 leads to behaviours"), "{}", said(&pushed));

    let called = run(&server, &["call", &server.uri("100")])?;
    assert!(called.status.success() && said(&called).contains("they hung up"), "{}", said(&called));

    // Again, as the next version, with another setting: what was set stays.
    let pushed = run(&server, &["push", module, "--set", "text=other"])?;
    assert!(said(&pushed).contains("version 2"), "{}", said(&pushed));
    let called = run(&server, &["call", &server.uri("100")])?;
    assert!(called.status.success() && said(&called).contains("they hung up"), "{}", said(&called));

    // The last row is some milliseconds behind the call's end.
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let usage = run(&server, &["usage"])?;
    assert!(said(&usage).contains("behaviours"), "{}", said(&usage));
    let json = run(&server, &["usage", "--json"])?;
    let rows: serde_json::Value = serde_json::from_slice(&json.stdout)?;
    assert!(rows.as_array().is_some_and(|rows| !rows.is_empty()), "{rows}");
    Ok(())
}

#[tokio::test]
async fn what_goes_wrong_is_said_and_told_by_the_exit_status() -> Result<()> {
    let server = Server::start("").await?;
    for (arguments, code, words) in [
        (vec!["call", &server.uri("555")][..].to_vec(), 1, "404"),
        (vec!["call", "not a uri"], 1, "not a uri"),
        (vec!["call", "sip:1@127.0.0.1", "--digits", "x"], 1, "no key of a phone"),
        (vec!["push", "no/such/file.wasm"], 1, "no/such/file.wasm"),
        (vec!["push"], 2, "<MODULE>"),
        (vec!["serve", "--config", "no/such/file.toml"], 1, "no/such/file.toml"),
    ] {
        let output = run(&server, &arguments)?;
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", said(&output));
        assert!(said(&output).contains(words), "{arguments:?}: {}", said(&output));
    }
    Ok(())
}

#[test]
fn the_manual_is_a_configuration_and_help_names_every_command() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let manual = Command::new(binary()).args(["serve", "--print-config"]).output()?;
    let parsed: toml::Table = toml::from_str(&String::from_utf8(manual.stdout)?)?;
    assert!(parsed.contains_key("limits") && parsed.contains_key("sip"));
    let wrong = folder.path().join("wrong.toml");
    std::fs::write(&wrong, "[sip]\nadvertise = \"10.0.0.1\"\n")?;
    let output = Command::new(binary()).arg("serve").arg("--config").arg(&wrong).output()?;
    assert!(!output.status.success() && said(&output).contains("unknown field `advertise`"), "{}", said(&output));
    let help = said(&Command::new(binary()).arg("--help").output()?);
    for command in ["serve", "demo", "push", "call", "usage"] {
        assert!(help.contains(command), "{help}");
    }
    Ok(())
}
