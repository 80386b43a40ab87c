//! A client of the node's own API, for the commands that talk to one.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use reqwest::{Method, RequestBuilder, Response};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::ApiArgs;

pub struct Client {
    http: reqwest::Client,
    base: String,
    key: String,
}

impl Client {
    pub fn new(base: &str, key: &str) -> Result<Self> {
        let http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(5))
            .no_proxy()
            .build()
            .context("cannot make an HTTP client")?;
        Ok(Self { http, base: base.trim_end_matches('/').to_owned(), key: key.trim().to_owned() })
    }

    pub fn from_args(args: &ApiArgs) -> Result<Self> {
        let key = match (&args.key, &args.key_file) {
            (Some(key), _) => key.clone(),
            (None, Some(path)) => read_key(path)?,
            (None, None) => bail!(
                "no API key: give --key or --key-file, or set CALLBOX_KEY. `callbox serve` shows the first key once, \
                 at its first start"
            ),
        };
        Self::new(&args.api, &key)
    }

    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.json(Method::GET, path, None).await
    }

    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &Value) -> Result<T> {
        self.json(Method::POST, path, Some(body)).await
    }

    pub async fn json<T: DeserializeOwned>(&self, method: Method, path: &str, body: Option<&Value>) -> Result<T> {
        let mut request = self.request(method, path);
        if let Some(body) = body {
            request = request.json(body);
        }
        read(path, self.send(request, path).await?).await
    }

    /// With a revision: only if it is still that one.
    pub async fn put(&self, path: &str, revision: Option<u64>, body: &Value) -> Result<Value> {
        let mut request = self.request(Method::PUT, path).json(body);
        if let Some(revision) = revision {
            request = request.header("if-match", format!("\"{revision}\""));
        }
        read(path, self.send(request, path).await?).await
    }

    /// The id of a tenant by its name, made when it is not there. None for a tenant's own key, which
    /// needs to name nobody.
    pub async fn tenant(&self, name: &str) -> Result<Option<String>> {
        let path = with("/v1/tenants", None, &[("name", name)])?;
        let response = self.send(self.request(Method::GET, &path), &path).await?;
        if response.status() == reqwest::StatusCode::FORBIDDEN {
            return Ok(None);
        }
        let found: Value = read(&path, response).await?;
        if let Some(tenant) = found["items"].get(0) {
            return text(tenant, "id").map(Some);
        }
        let made: Value = self.post("/v1/tenants", &json!({ "name": name })).await?;
        text(&made, "id").map(Some)
    }

    pub async fn upload<T: DeserializeOwned>(&self, path: &str, content_type: &str, bytes: Vec<u8>) -> Result<T> {
        // A large module compiles for as long as the operator lets it.
        let request = self
            .request(Method::POST, path)
            .timeout(Duration::from_secs(300))
            .header("content-type", content_type)
            .body(bytes);
        read(path, self.send(request, path).await?).await
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http
            .request(method, format!("{}{path}", self.base))
            .timeout(Duration::from_secs(30))
            .bearer_auth(&self.key)
    }

    async fn send(&self, request: RequestBuilder, path: &str) -> Result<Response> {
        request
            .send()
            .await
            .with_context(|| format!("cannot reach the API at {}{path}: is `callbox serve` running?", self.base))
    }
}

/// A path with its query, and the tenant that an operator acts for.
pub fn with(path: &str, tenant: Option<&str>, query: &[(&str, &str)]) -> Result<String> {
    let pairs = tenant.map(|tenant| ("tenant", tenant)).into_iter().chain(query.iter().copied());
    // Only the path and the query are used.
    let url = reqwest::Url::parse_with_params(&format!("http://node{path}"), pairs)?;
    Ok(match url.query() {
        Some(query) if !query.is_empty() => format!("{}?{query}", url.path()),
        _ => url.path().to_owned(),
    })
}

pub fn text(value: &Value, name: &str) -> Result<String> {
    let text = value[name].as_str();
    Ok(text.with_context(|| format!("the API's answer has no `{name}`"))?.to_owned())
}

pub fn read_key(path: &Path) -> Result<String> {
    let key =
        std::fs::read_to_string(path).with_context(|| format!("cannot read the API key in {}", path.display()))?;
    Ok(key.trim().to_owned())
}

async fn read<T: DeserializeOwned>(path: &str, response: Response) -> Result<T> {
    let status = response.status();
    let body = response.bytes().await.with_context(|| format!("the API broke off its answer to {path}"))?;
    if status.is_success() {
        let text: &[u8] = if body.is_empty() { b"null" } else { &body };
        return serde_json::from_slice(text)
            .with_context(|| format!("the API's answer to {path} is not what it should be"));
    }
    Err(problem(status, &body))
}

/// RFC 9457, in one line.
fn problem(status: reqwest::StatusCode, body: &[u8]) -> anyhow::Error {
    let Ok(problem) = serde_json::from_slice::<Value>(body) else {
        return anyhow!("the API answered {status}");
    };
    let text = |name: &str| problem.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (title, detail, code) = (text("title"), text("detail"), text("code"));
    let mut line = if detail.is_empty() { title } else { detail };
    for field in problem.get("errors").and_then(Value::as_array).into_iter().flatten() {
        line.push_str(&format!("; {field}"));
    }
    anyhow!("{line} ({} {code})", status.as_u16())
}
