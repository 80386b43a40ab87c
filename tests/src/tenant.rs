//! A tenant with modules, applications and numbers, made over the API as an operator would.

use anyhow::{Context, Result, bail};
use reqwest::{Method, StatusCode};
use serde_json::{Map, Value, json};

use crate::rest::Rest;
use crate::server::{Server, guest};

pub struct Tenant {
    pub id: String,
    pub operator: Rest,
    /// With the tenant's own key.
    pub rest: Rest,
}

impl Tenant {
    pub async fn make(server: &Server, name: &str) -> Result<Self> {
        let operator = server.operator()?;
        let tenant = operator.post("/v1/tenants", json!({ "name": name })).await?;
        let id = text(&tenant, "id")?;
        let key = operator.post(&format!("/v1/tenants/{id}/keys"), json!({ "name": "test" })).await?;
        let rest = operator.with_key(&text(&key, "key")?);
        Ok(Self { id, operator, rest })
    }

    /// Uploads a guest of `tests/.cache/guests`.
    pub async fn upload(&self, module: &str) -> Result<Value> {
        let bytes = guest_bytes(module)?;
        let (status, answer) = self.try_upload(module, bytes).await?;
        if !status.is_success() {
            bail!("uploading {module}: {status} {answer}");
        }
        Ok(answer)
    }

    pub async fn try_upload(&self, name: &str, bytes: Vec<u8>) -> Result<(StatusCode, Value)> {
        self.rest.send(Method::POST, &format!("/v1/modules?name={name}"), "application/wasm", bytes).await
    }

    /// An application with these handlers, on a number of its own.
    pub async fn application(&self, number: &str, handlers: &[&str], config: Value) -> Result<String> {
        self.calling_application(number, handlers, config, json!({})).await
    }

    /// The same, which may call where `outbound` says.
    pub async fn calling_application(
        &self,
        number: &str,
        handlers: &[&str],
        config: Value,
        outbound: Value,
    ) -> Result<String> {
        let handlers: Vec<_> = handlers.iter().map(|module| json!({ "module": module })).collect();
        let name = format!("app-{number}");
        let body = json!({ "name": name, "handlers": handlers, "config": config, "outbound": outbound });
        let application = self.rest.post("/v1/applications", body).await?;
        let id = text(&application, "id")?;
        let body = json!({ "address": number, "application": id, "anonymous": true });
        self.operator.post(&format!("/v1/numbers?tenant={}", self.id), body).await?;
        Ok(id)
    }

    /// The guest of many behaviours; each fallback has the next of `behaviours`.
    pub async fn behaviours(&self, number: &str, behaviours: &[&str]) -> Result<String> {
        self.behaviours_with(number, behaviours, json!({})).await
    }

    /// The same, with settings that the behaviours read.
    pub async fn behaviours_with(&self, number: &str, behaviours: &[&str], settings: Value) -> Result<String> {
        self.calling_behaviours(number, behaviours, settings, json!({})).await
    }

    /// The same, which may call where `outbound` says.
    pub async fn calling_behaviours(
        &self,
        number: &str,
        behaviours: &[&str],
        settings: Value,
        outbound: Value,
    ) -> Result<String> {
        if items(&self.rest.get("/v1/modules?name=behaviours").await?).is_empty() {
            self.upload("behaviours").await?;
        }
        let mut config: Map<_, _> = behaviours
            .iter()
            .enumerate()
            .map(|(place, behaviour)| match place {
                0 => ("behaviour".to_owned(), json!(behaviour)),
                _ => (format!("behaviour-{place}"), json!(behaviour)),
            })
            .collect();
        config.extend(settings.as_object().cloned().unwrap_or_default());
        let handlers = vec!["behaviours"; behaviours.len()];
        self.calling_application(number, &handlers, config.into(), outbound).await
    }

    /// The newest calls first; waits until there are `count` that have ended.
    pub async fn ended_calls(&self, count: usize) -> Result<Vec<Value>> {
        let mut seen = Value::Null;
        for _ in 0..200 {
            seen = self.rest.get("/v1/calls?limit=200").await?;
            let ended: Vec<_> = items(&seen).iter().filter(|call| !call["ended"].is_null()).cloned().collect();
            if ended.len() >= count {
                return Ok(ended);
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        bail!("{count} calls did not end: {seen}");
    }

    pub async fn timeline(&self, call: &str) -> Result<Vec<Value>> {
        Ok(items(&self.rest.get(&format!("/v1/calls/{call}/timeline")).await?).to_vec())
    }

    /// The one call there was, after its end: itself, its events, its Runs.
    pub async fn only_call(&self) -> Result<(Value, Vec<Value>, Vec<Value>)> {
        let mut calls = self.ended_calls(1).await?;
        let call = calls.swap_remove(0);
        let id = text(&call, "id")?;
        // The last of its rows may be some milliseconds behind its end.
        for _ in 0..100 {
            if self.runs(&id).await?.iter().all(|run| !run["end"].is_null()) {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        Ok((call, self.timeline(&id).await?, self.runs(&id).await?))
    }

    /// Until there is an event of this type with these words in it.
    pub async fn told_of(&self, event: &str, words: &str) -> Result<Value> {
        let mut seen = Value::Null;
        for _ in 0..100 {
            seen = self.rest.get(&format!("/v1/events?type={event}&limit=200")).await?;
            if let Some(event) = items(&seen).iter().find(|event| event["data"].to_string().contains(words)) {
                return Ok(event.clone());
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        bail!("no {event} with `{words}`: {seen}");
    }

    /// The oldest call that talks, once there is one.
    pub async fn call_in_progress(&self) -> Result<Value> {
        for _ in 0..100 {
            let calls = self.rest.get("/v1/calls?status=in-progress").await?;
            if let Some(call) = items(&calls).last() {
                return Ok(call.clone());
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        bail!("nobody talks");
    }

    /// The calls of a number that have ended, newest first, once there are so many.
    pub async fn calls_of(&self, number: &str, count: usize) -> Result<Vec<Value>> {
        let mut seen = Value::Null;
        for _ in 0..300 {
            seen = self.rest.get("/v1/calls?limit=200").await?;
            let theirs = items(&seen).iter().filter(|call| call["number"] == number && !call["ended"].is_null());
            let theirs: Vec<_> = theirs.cloned().collect();
            if theirs.len() >= count {
                return Ok(theirs);
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        bail!("{count} calls of {number} did not end: {seen}");
    }

    /// The newest call of a number, after its end: itself, and its events.
    pub async fn call_of(&self, number: &str) -> Result<(Value, Vec<Value>)> {
        let call = self.calls_of(number, 1).await?.swap_remove(0);
        let events = self.timeline(&text(&call, "id")?).await?;
        Ok((call, events))
    }

    pub async fn runs(&self, call: &str) -> Result<Vec<Value>> {
        Ok(items(&self.rest.get(&format!("/v1/calls/{call}/runs")).await?).to_vec())
    }
}

/// The `type` of each event.
pub fn types(events: &[Value]) -> Vec<&str> {
    events.iter().filter_map(|event| event["type"].as_str()).collect()
}

/// The codes of the faults among events.
pub fn faults(events: &[Value]) -> Vec<&str> {
    events.iter().filter_map(|event| event["data"]["fault"]["code"].as_str()).collect()
}

/// What modules wrote to their logs.
pub fn lines(events: &[Value]) -> Vec<&str> {
    let logs = events.iter().filter(|event| event["type"] == "module.log");
    logs.filter_map(|event| event["data"]["message"].as_str()).collect()
}

pub fn guest_bytes(name: &str) -> Result<Vec<u8>> {
    let path = guest(name);
    std::fs::read(&path).with_context(|| format!("{}: run tests/build-guests --all", path.display()))
}

pub fn items(list: &Value) -> &[Value] {
    list["items"].as_array().map_or(&[], Vec::as_slice)
}

pub fn text(value: &Value, name: &str) -> Result<String> {
    Ok(value[name].as_str().with_context(|| format!("no `{name}` in {value}"))?.to_owned())
}
