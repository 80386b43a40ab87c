//! `callbox usage`.

use std::process::ExitCode;

use anyhow::Result;
use serde_json::Value;

use super::rest::{Client, with};
use super::{UsageArgs, blocking, show};

pub fn run(args: UsageArgs) -> Result<ExitCode> {
    blocking(async {
        let client = Client::from_args(&args.api)?;
        // An operator who names no tenant sees all.
        let tenant = match &args.api.tenant {
            name if name != super::DEFAULT_TENANT => client.tenant(name).await?,
            _ => None,
        };
        let path = match &args.call {
            Some(call) => with(&format!("/v1/calls/{call}/runs"), tenant.as_deref(), &[])?,
            None => with("/v1/usage", tenant.as_deref(), &[])?,
        };
        let rows: Value = client.get(&path).await?;
        if args.json {
            println!("{}", serde_json::to_string_pretty(&rows["items"])?);
        } else if rows["items"].as_array().is_none_or(Vec::is_empty) {
            println!("no module has run yet");
        } else {
            println!("{}", show::ledger(&rows));
        }
        Ok(ExitCode::SUCCESS)
    })
}
