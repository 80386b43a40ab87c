//! Compiled modules on disk. They are trusted as code: made only by this node, named by everything
//! they depend on, and their digest is checked before every load.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use callbox_model::Limits;
use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::{Config, Error, UploadRefused, compile};

pub(crate) struct Artifacts {
    directory: PathBuf,
    command: Vec<std::ffi::OsString>,
    /// Of the engine's version, the CPU's features and all settings that reach into compiled code.
    settings: u64,
    serial: AtomicU64,
}

impl Artifacts {
    pub(crate) fn open(config: &Config, engine: &Engine) -> Result<Self, Error> {
        let directory = config.cache_dir.clone();
        std::fs::create_dir_all(&directory).map_err(|source| Error::Files {
            what: "make the folder",
            path: directory.clone(),
            source,
        })?;
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Ok(Self {
            directory,
            command: config.compiler_command.clone(),
            settings: hasher.finish(),
            serial: AtomicU64::new(0),
        })
    }

    /// None when there is no compiled form, or it is not the one that was written.
    pub(crate) fn load(&self, engine: &Engine, digest: &str) -> Option<Component> {
        let path = self.path(digest);
        let expected = std::fs::read_to_string(beside(&path)).ok()?;
        let found = hex(&Sha256::digest(std::fs::read(&path).ok()?));
        if found != expected.trim() {
            tracing::warn!(module.digest = digest, "a compiled module was changed on disk; it is compiled again");
            return None;
        }
        match deserialize(engine, &path) {
            Ok(component) => Some(component),
            Err(error) => {
                tracing::warn!(module.digest = digest, "a compiled module does not load: {error:#}");
                None
            }
        }
    }

    pub(crate) fn has(&self, digest: &str) -> bool {
        let path = self.path(digest);
        path.exists() && beside(&path).exists()
    }

    /// Removes every file that is not of these. How many there were.
    pub(crate) fn sweep(&self, digests: &[String]) -> usize {
        let kept: HashSet<_> = digests.iter().map(|digest| self.path(digest)).collect();
        let Ok(files) = std::fs::read_dir(&self.directory) else { return 0 };
        let old = files.flatten().map(|file| file.path()).filter(|path| !kept.contains(&path.with_extension("cwasm")));
        old.filter(|path| std::fs::remove_file(path).is_ok()).count()
    }

    /// Compiles and keeps. Blocks for as long as the compiler takes.
    pub(crate) fn compile(&self, limits: &Limits, digest: &str, component: &[u8]) -> Result<(), UploadRefused> {
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        let scratch = |end: &str| self.directory.join(format!("{}-{serial}.{end}", std::process::id()));
        let (input, output) = (Scratch(scratch("wasm")), Scratch(scratch("part")));
        let disk = |error: std::io::Error| UploadRefused::node(format!("cannot write compiled modules: {error}"));
        std::fs::write(&input.0, component).map_err(disk)?;
        compile::compile(&self.command, limits, &input.0, &output.0)?;
        let sum = hex(&Sha256::digest(std::fs::read(&output.0).map_err(disk)?));
        let path = self.path(digest);
        std::fs::write(beside(&path), sum).map_err(disk)?;
        std::fs::rename(&output.0, &path).map_err(disk)
    }

    fn path(&self, digest: &str) -> PathBuf {
        let name = hex(&Sha256::digest(format!("{digest} {:016x} {}", self.settings, env!("CARGO_PKG_VERSION"))));
        self.directory.join(format!("{name}.cwasm"))
    }
}

/// `sha256:` and 64 hexadecimal digits.
pub(crate) fn digest_of(component: &[u8]) -> String {
    format!("sha256:{}", hex(&Sha256::digest(component)))
}

#[expect(unsafe_code, reason = "compiled code is loaded: this node made it, and its digest was just checked")]
fn deserialize(engine: &Engine, path: &Path) -> wasmtime::Result<Component> {
    // SAFETY: the file lies in the node's own folder, was written by `compile` above, and has the
    // digest that was written with it.
    unsafe { Component::deserialize_file(engine, path) }
}

fn beside(path: &Path) -> PathBuf {
    path.with_extension("sha256")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
        text
    })
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// A file that is gone when it is no longer needed.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
