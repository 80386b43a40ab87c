//! `callbox push`.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};

use super::rest::{Client, text, with};
use super::{PushArgs, blocking, show};

pub fn run(args: PushArgs) -> Result<ExitCode> {
    let name = match &args.name {
        Some(name) => name.clone(),
        None => name_of(&args.module)?,
    };
    let bytes = std::fs::read(&args.module).with_context(|| format!("cannot read {}", args.module.display()))?;
    blocking(async {
        let client = Client::from_args(&args.api)?;
        let tenant = client.tenant(&args.api.tenant).await?;
        let busy = show::busy(format!("uploading and compiling {name} ({} kB)", bytes.len() / 1_000));
        let module = upload(&client, tenant.as_deref(), &name, bytes).await;
        busy.finish_and_clear();
        let module = module?;
        println!("module {name} version {} ({})", module["version"], text(&module, "id")?);
        let is_module_alone =
            args.application.is_none() && args.number.is_none() && args.fallback.is_empty() && args.set.is_empty();
        if is_module_alone {
            return Ok(ExitCode::SUCCESS);
        }
        let application = args.application.as_deref().unwrap_or(&name);
        let handlers = std::iter::once(name.as_str()).chain(args.fallback.iter().map(String::as_str));
        let handlers: Vec<_> = handlers.map(|module| json!({ "module": module })).collect();
        let settings = args.set.iter().map(|pair| setting(pair)).collect::<Result<Map<_, _>>>()?;
        let id = put_application(&client, tenant.as_deref(), application, handlers, settings).await?;
        println!("application {application} ({id})");
        if let Some(number) = &args.number {
            put_number(&client, tenant.as_deref(), number, &id).await?;
            println!("number {number} leads to {application}");
        }
        Ok(ExitCode::SUCCESS)
    })
}

pub async fn upload(client: &Client, tenant: Option<&str>, name: &str, bytes: Vec<u8>) -> Result<Value> {
    client.upload(&with("/v1/modules", tenant, &[("name", name)])?, "application/wasm", bytes).await
}

/// Made, or changed: what is set stays, unless it is set anew.
pub async fn put_application(
    client: &Client,
    tenant: Option<&str>,
    name: &str,
    handlers: Vec<Value>,
    settings: Map<String, Value>,
) -> Result<String> {
    let found: Value = client.get(&with("/v1/applications", tenant, &[("name", name)])?).await?;
    let Some(mut body) = found["items"].get(0).cloned() else {
        let body = json!({ "name": name, "handlers": handlers, "config": settings });
        let made: Value = client.post(&with("/v1/applications", tenant, &[])?, &body).await?;
        return text(&made, "id");
    };
    let (id, revision) = (text(&body, "id")?, body["revision"].as_u64().unwrap_or_default());
    let Some(fields) = body.as_object_mut() else { bail!("the API's answer is no application") };
    for given_by_the_node in ["id", "tenant", "secrets", "revision", "created"] {
        fields.remove(given_by_the_node);
    }
    fields.insert("handlers".to_owned(), handlers.into());
    if let Some(config) = fields.get_mut("config").and_then(Value::as_object_mut) {
        config.extend(settings);
    }
    client.put(&with(&format!("/v1/applications/{id}"), tenant, &[])?, Some(revision), &body).await?;
    Ok(id)
}

pub async fn put_number(client: &Client, tenant: Option<&str>, address: &str, application: &str) -> Result<()> {
    let found: Value = client.get(&with("/v1/numbers", tenant, &[("address", address)])?).await?;
    match found["items"].get(0) {
        Some(number) => {
            let path = with(&format!("/v1/numbers/{}", text(number, "id")?), tenant, &[])?;
            client.put(&path, None, &json!({ "application": application })).await?;
        }
        None => {
            // Whoever may speak to the node may call it: on a node that nobody has opened, this machine.
            let body = json!({ "address": address, "application": application, "anonymous": true });
            let _: Value = client.post(&with("/v1/numbers", tenant, &[])?, &body).await?;
        }
    }
    Ok(())
}

fn name_of(module: &Path) -> Result<String> {
    let stem = module.file_stem().and_then(|stem| stem.to_str());
    Ok(stem
        .with_context(|| format!("{} has no name that could be the module's: give --name", module.display()))?
        .to_owned())
}

fn setting(pair: &str) -> Result<(String, Value)> {
    match pair.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.into())),
        _ => bail!("`{pair}` is no setting: expected NAME=VALUE"),
    }
}
