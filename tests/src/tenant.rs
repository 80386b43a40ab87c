//! A tenant with modules, applications and numbers, made over the API as an operator would.

use anyhow::{Context, Result, bail};
use reqwest::Method;
use serde_json::{Value, json};

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
        let path = guest(module);
        let bytes = std::fs::read(&path).with_context(|| format!("{}: run tests/build-guests", path.display()))?;
        self.upload_bytes(module, bytes).await
    }

    pub async fn upload_bytes(&self, name: &str, bytes: Vec<u8>) -> Result<Value> {
        let path = format!("/v1/modules?name={name}");
        let (status, answer) = self.rest.send(Method::POST, &path, "application/wasm", bytes).await?;
        if !status.is_success() {
            bail!("uploading {name}: {status} {answer}");
        }
        Ok(answer)
    }

    /// An application with these handlers, on a number of its own.
    pub async fn application(&self, number: &str, handlers: &[&str], config: Value) -> Result<String> {
        let handlers: Vec<_> = handlers.iter().map(|module| json!({ "module": module })).collect();
        let body = json!({ "name": format!("app-{number}"), "handlers": handlers, "config": config });
        let application = self.rest.post("/v1/applications", body).await?;
        let id = text(&application, "id")?;
        let body = json!({ "tenant": self.id, "address": number, "application": id });
        self.operator.post("/v1/numbers", body).await?;
        Ok(id)
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

    pub async fn runs(&self, call: &str) -> Result<Vec<Value>> {
        Ok(items(&self.rest.get(&format!("/v1/calls/{call}/runs")).await?).to_vec())
    }
}

pub fn items(list: &Value) -> &[Value] {
    list["items"].as_array().map_or(&[], Vec::as_slice)
}

pub fn text(value: &Value, name: &str) -> Result<String> {
    Ok(value[name].as_str().with_context(|| format!("no `{name}` in {value}"))?.to_owned())
}
