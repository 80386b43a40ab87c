//! Builds the example modules.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::cli::show;

/// The folder that the modules are in.
pub fn build() -> Result<PathBuf> {
    let examples = find()?;
    let target = examples.join("target");
    let busy = show::busy("building the example modules".to_owned());
    let built = Command::new("cargo")
        .args(["build", "--release", "--locked", "--quiet", "--target", TARGET])
        .current_dir(&examples)
        .env("CARGO_TARGET_DIR", &target)
        .output();
    busy.finish_and_clear();
    let built = built.context("cannot run cargo")?;
    if !built.status.success() {
        let said = String::from_utf8_lossy(&built.stderr);
        bail!(
            "the example modules do not build (is the target there? `rustup target add {TARGET}`):\n{}",
            said.trim_end()
        );
    }
    println!("   built in {}", examples.display());
    Ok(target.join(TARGET).join("release"))
}

/// Beside the sources that this binary was made from: `cargo run` says where, or they are here.
fn find() -> Result<PathBuf> {
    let from_cargo = std::env::var_os("CARGO_MANIFEST_DIR").map(|here| Path::new(&here).join("../../examples"));
    let here = Some(PathBuf::from("examples"));
    match [from_cargo, here].into_iter().flatten().find(|folder| folder.join("menu/Cargo.toml").exists()) {
        Some(folder) => folder.canonicalize().with_context(|| format!("cannot find {}", folder.display())),
        None => bail!("the example modules' sources are not here: run it in a checkout of callbox, or give --guests"),
    }
}

const TARGET: &str = "wasm32-unknown-unknown";
