//! A running API over the maps, with two tenants in it, and a client.

use std::sync::Arc;
use std::time::Duration;

use callbox_api::backend::{Access, NewKey, Role};
use callbox_api::key::Secret;
use callbox_api::{Config, Handle, Service};
use callbox_model::{
    ApplicationId, CallId, CallRecord, CallStatus, Change, Direction, EndReason, Fault, FaultCode, Recording,
    RecordingId, Registration, Run, RunEnd, RunId, RunKind, RunUsage, Subject, TenantId, Wall,
};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

use crate::memory::Memory;

pub(crate) struct House {
    pub(crate) memory: Arc<Memory>,
    pub(crate) service: Handle,
    pub(crate) client: reqwest::Client,
    pub(crate) operator: String,
    pub(crate) a: Guest,
    pub(crate) b: Guest,
}

/// A tenant and its key.
pub(crate) struct Guest {
    pub(crate) tenant: TenantId,
    pub(crate) key: String,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Value,
}

pub(crate) const WASM: &[u8] = b"\0asm\x0d\0\x01\0";
pub(crate) const WAV: &[u8] = b"RIFF....WAVEfmt and so on";

pub(crate) fn config() -> Config {
    let anywhere = ([127, 0, 0, 1], 0).into();
    Config { listen: anywhere, health_listen: anywhere, requests_per_s_per_key: 100_000, ..Config::default() }
}

impl House {
    pub(crate) async fn open() -> Self {
        Self::open_with(config()).await
    }

    pub(crate) async fn open_with(config: Config) -> Self {
        let memory = Arc::new(Memory::new());
        let service = Service::start(config, memory.clone(), Arc::new(|| "callbox_up 1\n".to_owned())).await.unwrap();
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30)).build().unwrap();
        let operator = key(&memory, Role::Operator).await;
        let a = guest(&memory, "anna").await;
        let b = guest(&memory, "bert").await;
        Self { memory, service, client, operator, a, b }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.service.local_addr())
    }

    pub(crate) fn request(&self, key: &str, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, self.url(path)).bearer_auth(key)
    }

    pub(crate) async fn get(&self, key: &str, path: &str) -> Answer {
        send(self.request(key, Method::GET, path)).await
    }

    pub(crate) async fn delete(&self, key: &str, path: &str) -> Answer {
        send(self.request(key, Method::DELETE, path)).await
    }

    pub(crate) async fn post(&self, key: &str, path: &str, body: &Value) -> Answer {
        send(self.request(key, Method::POST, path).json(body)).await
    }

    pub(crate) async fn put(&self, key: &str, path: &str, body: &Value) -> Answer {
        send(self.request(key, Method::PUT, path).json(body)).await
    }

    pub(crate) async fn patch(&self, key: &str, path: &str, body: &Value) -> Answer {
        send(self.request(key, Method::PATCH, path).json(body)).await
    }

    pub(crate) async fn upload(&self, key: &str, path: &str, kind: &str, bytes: impl Into<reqwest::Body>) -> Answer {
        let method = if kind == "audio/wav" { Method::PUT } else { Method::POST };
        send(self.request(key, method, path).header("content-type", kind).body(bytes)).await
    }

    pub(crate) async fn application(&self, key: &str, name: &str) -> String {
        self.post(key, "/v1/applications", &json!({ "name": name })).await.expect(201)["id"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    pub(crate) async fn domain(&self, tenant: TenantId, name: &str) -> Value {
        let within = format!("/v1/domains?tenant={tenant}");
        self.post(&self.operator, &within, &json!({ "name": name })).await.expect(201)
    }

    pub(crate) async fn trunk(&self, key: &str, name: &str) -> String {
        let body = json!({ "name": name, "uri": "sip:carrier.example", "networks": ["192.0.2.0/24"] });
        self.post(key, "/v1/trunks", &body).await.expect(201)["id"].as_str().unwrap().to_owned()
    }

    /// A phone of the user's.
    pub(crate) fn registration(&self, user: &Value, contact: &str) {
        let registration = Registration {
            user: user["id"].as_str().unwrap().parse().unwrap(),
            contact: contact.to_owned(),
            instance: Some("<urn:uuid:0>".to_owned()),
            reg_id: Some(1),
            path: vec!["<sip:edge.example.org;lr>".to_owned()],
            q_permille: 500,
            sip_call_id: "x".to_owned(),
            cseq: 7,
            transport: "tcp".to_owned(),
            remote: ([192, 0, 2, 7], 40_000).into(),
            local: ([192, 0, 2, 1], 5_060).into(),
            user_agent: Some("phone/1".to_owned()),
            expires: Wall(1_800_000_000_000_000),
        };
        self.memory.state().registrations.push(registration);
    }

    /// A call of the tenant, with one event, two Runs and a recording.
    pub(crate) fn call(&self, tenant: TenantId, status: CallStatus) -> CallId {
        let started = self.memory.now();
        let (id, application) = (CallId::new(&self.memory.ids, started), ApplicationId::new(&self.memory.ids, started));
        let call = CallRecord {
            id,
            tenant,
            application,
            direction: Direction::Inbound,
            caller: "sip:anna@example.org".to_owned(),
            called: "sip:100@example.org".to_owned(),
            number: "100".to_owned(),
            status,
            started,
            answered: Some(started),
            ended: None,
            cause: None,
            connected_us: 5,
            faults: 1,
        };
        let run = |name: &str, end: Option<RunEnd>, cpu_ns| Run {
            id: RunId::new(&self.memory.ids, started),
            kind: RunKind::Control,
            call: id,
            tenant,
            application,
            module: None,
            module_name: name.to_owned(),
            module_version: 1,
            handler: 0,
            began: started,
            marked: started,
            usage: RunUsage { cpu_ns, ..RunUsage::default() },
            end,
        };
        let fault = Fault::new(FaultCode::OutOfCpu, "100 ms");
        {
            let mut state = self.memory.state();
            state.calls.insert(id, call);
            state.runs.push(run("ivr", Some(RunEnd { reason: EndReason::Fault, fault: Some(fault) }), 100));
            state.runs.push(run("fallback", None, 7));
        }
        self.memory.note(Subject::Call(id), Some(tenant), Change::CallAnswered);
        id
    }

    pub(crate) fn recording(&self, tenant: TenantId, call: CallId, path: Option<std::path::PathBuf>) -> RecordingId {
        let started = self.memory.now();
        let id = RecordingId::new(&self.memory.ids, started);
        let length_ms = path.is_some().then_some(20);
        let recording = Recording { id, tenant, call, started, length_ms, bytes: 10, failed: None };
        self.memory.state().recordings.insert(id, (recording, path));
        id
    }
}

impl Answer {
    /// The body, when the status is this one.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{:#}", self.body);
        self.body
    }

    /// That it is a whole problem body of this status and code.
    #[track_caller]
    pub(crate) fn refused(&self, status: u16, code: &str) {
        let body = &self.body;
        assert_eq!((self.status.as_u16(), body["code"].as_str()), (status, Some(code)), "{body:#}");
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert_eq!(body["status"], status, "{body:#}");
        assert_eq!(body["type"], format!("/v1/errors/{code}"), "{body:#}");
        for field in ["title", "detail", "instance"] {
            assert!(body[field].as_str().is_some_and(|text| !text.is_empty()), "{field} is missing: {body:#}");
        }
        assert_eq!(body["instance"].as_str().unwrap(), self.headers["x-request-id"]);
    }

    /// Names of the fields that are wrong.
    pub(crate) fn fields(&self) -> Vec<&str> {
        let errors = self.body["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
        errors.iter().filter_map(|error| error["field"].as_str()).collect()
    }
}

pub(crate) async fn send(request: RequestBuilder) -> Answer {
    read(request.send().await.unwrap()).await
}

pub(crate) async fn read(response: Response) -> Answer {
    let (status, headers) = (response.status(), response.headers().clone());
    let bytes = response.bytes().await.unwrap();
    let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() };
    Answer { status, headers, body }
}

pub(crate) async fn key(memory: &Memory, role: Role) -> String {
    let secret = Secret::random().unwrap();
    let record = memory.create_key(NewKey { role, name: "test".to_owned(), hash: secret.hash() }).await.unwrap();
    secret.into_key(record.id)
}

async fn guest(memory: &Memory, name: &str) -> Guest {
    let tenant = memory.create_tenant(name.to_owned()).await.unwrap().id;
    Guest { tenant, key: key(memory, Role::Tenant(tenant)).await }
}
