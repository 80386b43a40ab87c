//! TLS: who we are, whom we believe, and how both change while calls go on.

use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::Error;
use crate::config::{Clients, Tls};

/// What handshakes use. Those that are done keep what they began with.
pub(crate) struct Keys {
    now: ArcSwap<Loaded>,
    files: Tls,
}

struct Loaded {
    /// None without an identity.
    server: Option<Arc<ServerConfig>>,
    client: Arc<ClientConfig>,
}

impl Keys {
    pub(crate) fn load(files: &Tls) -> Result<Self, Error> {
        Ok(Self { now: ArcSwap::from_pointee(Loaded::read(files)?), files: files.clone() })
    }

    /// Reads the files again. When one of them is bad, all stays as it was.
    pub(crate) fn reload(&self) -> Result<(), Error> {
        self.now.store(Arc::new(Loaded::read(&self.files)?));
        Ok(())
    }

    pub(crate) fn server(&self) -> Option<Arc<ServerConfig>> {
        self.now.load().server.clone()
    }

    pub(crate) fn client(&self) -> Arc<ClientConfig> {
        self.now.load().client.clone()
    }
}

impl Loaded {
    fn read(files: &Tls) -> Result<Self, Error> {
        let provider = Arc::new(ring::default_provider());
        let identity = match &files.identity {
            Some(identity) => {
                let chain = certificates(&identity.certificate)?;
                let key = PrivateKeyDer::from_pem_file(&identity.key).map_err(|error| bad(&identity.key, error))?;
                // Here, so that a key without its certificate is found even where nobody listens.
                Some((chain, key, identity.certificate.as_path()))
            }
            None => None,
        };
        let server = match &identity {
            Some((chain, key, path)) => Some(server(&files.clients, chain.clone(), key.clone_key(), path, &provider)?),
            None => None,
        };
        let roots = match &files.authorities {
            Some(path) => authorities(path)?,
            None => whom_the_system_trusts(),
        };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_root_certificates(roots);
        let client = match identity {
            Some((chain, key, path)) => builder.with_client_auth_cert(chain, key).map_err(|error| bad(path, error))?,
            None => builder.with_no_client_auth(),
        };
        Ok(Self { server, client: Arc::new(client) })
    }
}

fn server(
    clients: &Clients,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    path: &Path,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<ServerConfig>, Error> {
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(unusable)?;
    let verifier = |path: &Path| {
        let roots = Arc::new(authorities(path)?);
        Ok(WebPkiClientVerifier::builder_with_provider(roots, provider.clone()))
    };
    let builder = match clients {
        Clients::NotAsked => builder.with_no_client_auth(),
        Clients::Optional { authorities } => {
            let verifier = verifier(authorities)?.allow_unauthenticated().build();
            builder.with_client_cert_verifier(verifier.map_err(|error| bad(authorities, error))?)
        }
        Clients::Required { authorities } => {
            let verifier = verifier(authorities)?.build();
            builder.with_client_cert_verifier(verifier.map_err(|error| bad(authorities, error))?)
        }
    };
    builder.with_single_cert(chain, key).map(Arc::new).map_err(|error| bad(path, error))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let chain: Vec<_> =
        CertificateDer::pem_file_iter(path).and_then(Iterator::collect).map_err(|error| bad(path, error))?;
    if chain.is_empty() {
        return Err(bad(path, "there is no certificate in it"));
    }
    Ok(chain)
}

fn authorities(path: &Path) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| bad(path, error))?;
    }
    Ok(roots)
}

/// Systems hold authorities that cannot be read; the others are taken. With none at all, whoever is
/// dialled over TLS is refused, and says so.
fn whom_the_system_trusts() -> RootCertStore {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        tracing::warn!(errors = ?found.errors, "the system names no authorities: no TLS can be dialled");
    }
    roots
}

/// Whom a certificate must name (RFC 5922 4): the host of the URI that is called, and not what DNS
/// made of it.
pub(crate) fn server_name(host: &str) -> std::io::Result<ServerName<'static>> {
    ServerName::try_from(host.to_owned()).map_err(|error| std::io::Error::new(std::io::ErrorKind::InvalidInput, error))
}

fn bad(path: &Path, why: impl ToString) -> Error {
    Error::Tls { path: path.to_owned(), why: why.to_string() }
}

fn unusable(error: rustls::Error) -> Error {
    Error::TlsVersions(error.to_string())
}
