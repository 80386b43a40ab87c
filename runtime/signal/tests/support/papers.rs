//! Certificates of an authority that the test itself is.

use std::path::{Path, PathBuf};

use callbox_signal::{Clients, Identity, Tls};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

pub(crate) struct Papers {
    folder: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
    pub(crate) authority: PathBuf,
}

impl Papers {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "the test's authority");
        let key = KeyPair::generate().unwrap();
        let authority = folder.path().join("authority.pem");
        std::fs::write(&authority, params.self_signed(&key).unwrap().pem()).unwrap();
        Self { folder, issuer: Issuer::new(params, key), authority }
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// For these names and addresses.
    pub(crate) fn identity(&self, file: &str, names: &[&str]) -> Identity {
        let identity =
            Identity { certificate: self.file(&format!("{file}.pem")), key: self.file(&format!("{file}.key")) };
        self.write(&identity, names);
        identity
    }

    /// In place of what stands there.
    pub(crate) fn write(&self, identity: &Identity, names: &[&str]) {
        let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &self.issuer).unwrap();
        std::fs::write(&identity.certificate, certificate.pem()).unwrap();
        std::fs::write(&identity.key, key.serialize_pem()).unwrap();
    }

    pub(crate) fn tls(&self, file: &str, names: &[&str]) -> Tls {
        Tls {
            identity: Some(self.identity(file, names)),
            clients: Clients::NotAsked,
            authorities: Some(self.authority.clone()),
        }
    }
}

pub(crate) fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}
