//! `callbox demo`: everything once, for real, on this machine alone.

mod guests;
mod node;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value, json};

use super::rest::{Client, with};
use super::{DemoArgs, blocking, push, show};
use crate::phone::{Dial, Told, call};
use node::Running;

pub fn run(args: DemoArgs) -> Result<ExitCode> {
    let folder = match &args.keep {
        Some(folder) => folder.clone(),
        None => tempfile::Builder::new().prefix("callbox-demo-").tempdir()?.keep(),
    };
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    title("1. The modules");
    let guests = match args.guests {
        Some(guests) => guests,
        None => guests::build()?,
    };
    blocking(show_all(&guests, &folder))
}

async fn show_all(guests: &Path, folder: &Path) -> Result<ExitCode> {
    title("2. A node, on loopback, with an empty SQLite database");
    let node = Running::start(folder).await?;
    println!("   SIP {}   API http://{}   log {}", node.sip, node.api, node.log.display());
    let client = Client::new(&format!("http://{}", node.api), &node.key)?;

    title("3. A tenant uploads its modules over REST");
    let tenant = client.tenant("demo").await?;
    let tenant = tenant.as_deref();
    for name in ["menu", "fallback", "looping"] {
        let path = guests.join(format!("{name}.wasm"));
        let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let busy = show::busy(format!("uploading and compiling {name}"));
        let module = push::upload(&client, tenant, name, bytes).await;
        busy.finish_and_clear();
        let module = module?;
        println!("   {name} version {}: {} bytes, {}", module["version"], module["bytes"], digest(&module));
    }
    application(&client, tenant, "menu", &["menu", "fallback"], MENU).await?;
    application(&client, tenant, "broken", &["looping", "fallback"], BROKEN).await?;
    println!("   number {MENU}: menu, then fallback        number {BROKEN}: looping, then fallback");

    title("4. A real call: the built-in phone dials, presses 5, then 9");
    let heard = folder.join("menu.wav");
    let (told, events) = place(&client, tenant, &node, MENU, "wwwwww5wwwwwwwwww9", &heard).await?;
    ensure!(told.answered, "the call was refused: {} {}", told.cause.status, told.cause.reason);
    let pressed = events.iter().any(|event| event["type"] == "call.gathered" && event["data"]["digits"] == "5");
    ensure!(pressed, "the module did not hear the digit 5");

    title("5. A module that loops for ever, and the fallback that takes its caller over");
    let heard_fallback = folder.join("fallback.wav");
    let (told, events) = place(&client, tenant, &node, BROKEN, "", &heard_fallback).await?;
    ensure!(told.answered, "the call was refused: {} {}", told.cause.status, told.cause.reason);
    let took_over =
        events.iter().any(|event| event["type"] == "control.started" && event["data"]["module_name"] == "fallback");
    ensure!(took_over, "the fallback did not take the call over");

    title("6. What each module used");
    let rows: Value = client.get(&with("/v1/usage", tenant, &[])?).await?;
    println!("{}", show::ledger(&rows));
    println!("\n   What the phone heard: {}\n                         {}", heard.display(), heard_fallback.display());

    let stays = std::io::stdin().is_terminal();
    let how = if stays { "It stays up." } else { "In a terminal it would stay up." };
    println!("\n   {how} Dial in with a softphone on this machine, without an account:");
    println!("       sip:{MENU}@{}    sip:{BROKEN}@{}", node.sip, node.sip);
    println!("   or from another terminal:  callbox call sip:{MENU}@{} --record heard.wav", node.sip);
    if !stays {
        node.stop().await?;
        return Ok(ExitCode::SUCCESS);
    }
    println!("   Ctrl-C ends it.");
    tokio::signal::ctrl_c().await.context("cannot wait for Ctrl-C")?;
    node.stop().await?;
    Ok(ExitCode::SUCCESS)
}

async fn application(client: &Client, tenant: Option<&str>, name: &str, handlers: &[&str], number: &str) -> Result<()> {
    let handlers = handlers.iter().map(|module| json!({ "module": module })).collect();
    let id = push::put_application(client, tenant, name, handlers, Map::new()).await?;
    push::put_number(client, tenant, number, &id).await
}

/// Calls, and shows the call's events as they are written down.
async fn place(
    client: &Client,
    tenant: Option<&str>,
    node: &Running,
    number: &str,
    digits: &str,
    heard: &Path,
) -> Result<(Told, Vec<Value>)> {
    let newest: Value = client.get(&with("/v1/events", tenant, &[("limit", "500")])?).await?;
    let mut after = newest["next"].as_str().unwrap_or("0").to_owned();
    let dial = Dial {
        uri: format!("sip:{number}@{}", node.sip),
        from: "demo".to_owned(),
        digits: digits.to_owned(),
        record: Some(PathBuf::from(heard)),
        play: None,
        ring: Duration::from_secs(30),
        talk: Duration::from_secs(60),
        tcp: false,
    };
    let mut phone = tokio::task::spawn_blocking(move || call(&dial, &mut |_| {}));
    let (mut told, mut events, mut began, mut patience) = (None, Vec::new(), None, 200);
    loop {
        if told.is_none() && phone.is_finished() {
            told = Some((&mut phone).await.context("the phone broke down")??);
        }
        let page: Value = client.get(&with("/v1/events", tenant, &[("after", &after)])?).await?;
        after = page["next"].as_str().unwrap_or(&after).to_owned();
        for event in page["items"].as_array().into_iter().flatten() {
            let at: Option<jiff::Timestamp> = event["at"].as_str().and_then(|at| at.parse().ok());
            let since =
                at.zip(*began.get_or_insert(at)).map_or(0.0, |(at, began)| at.duration_since(began).as_secs_f64());
            if let Some(line) = show::event(event) {
                println!("   {since:7.3} s  {line}");
            }
            events.push(event.clone());
        }
        let is_over = events.iter().any(|event| event["type"] == "call.ended");
        if let Some(told) = told.take_if(|_| is_over) {
            return Ok((told, events));
        }
        if told.is_some() {
            patience -= 1;
            if patience == 0 {
                bail!("the call is over for the phone, and the node does not say so");
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn title(text: &str) {
    println!("\n\u{2500}\u{2500} {text}");
}

fn digest(module: &Value) -> String {
    module["digest"].as_str().unwrap_or_default().chars().take(19).collect()
}

const MENU: &str = "100";
const BROKEN: &str = "200";
