//! The node itself.

use std::net::SocketAddr;

use async_trait::async_trait;

#[async_trait]
pub trait Node: Send + Sync {
    fn node(&self) -> NodeInfo;
    /// Everything that must be well before calls should come here. Asked at `/readyz`.
    async fn checks(&self) -> Vec<Check>;
    /// Codes of [`super::BackendError::Refused`] and `Conflict` that the API does not know itself,
    /// for `/v1/errors`.
    fn dictionary(&self) -> Vec<DictionaryEntry> {
        Vec::new()
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeInfo {
    pub version: String,
    pub uptime_s: u64,
    pub listeners: Vec<Listener>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// `sip/udp`, `sip/tcp`, `http` for example.
    pub protocol: String,
    pub address: SocketAddr,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// `store`, `lanes`, `media` for example.
    pub name: String,
    pub state: CheckState,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckState {
    Passed,
    /// With the reason.
    Failed(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DictionaryEntry {
    pub code: &'static str,
    pub title: &'static str,
    pub means: &'static str,
    pub remedy: &'static str,
    /// HTTP status that it comes with.
    pub status: u16,
}
