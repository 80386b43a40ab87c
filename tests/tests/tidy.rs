//! The rules of the house that a compiler does not hold: arrows between crates, what pure crates
//! may name, how long a file may be, words that mean "unfinished".

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Who may name whom under `runtime/`. The node may name all.
const ARROWS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("sip", &[]),
    ("sdp", &[]),
    ("rtp", &[]),
    ("audio", &[]),
    ("call", &["model", "sdp"]),
    ("usage", &["model"]),
    ("signal", &["model", "sip"]),
    ("media", &["model", "rtp", "audio"]),
    ("sandbox", &["model"]),
    ("store", &["model"]),
    ("api", &["model"]),
    (
        "callbox",
        &["model", "sip", "sdp", "rtp", "audio", "call", "usage", "signal", "media", "sandbox", "store", "api"],
    ),
];

const PURE: &[&str] = &["model", "sip", "sdp", "rtp", "audio", "call", "usage"];

/// What a pure crate may not depend on: runtimes, sockets, databases, the sandbox, chance.
const IMPURE: &[&str] = &[
    "tokio",
    "async-std",
    "smol",
    "mio",
    "polling",
    "socket2",
    "rustix",
    "libc",
    "nix",
    "hyper",
    "axum",
    "reqwest",
    "sqlx",
    "rusqlite",
    "wasmtime",
    "wasmtime-wasi",
    "getrandom",
    "rand",
    "tracing-subscriber",
    "metrics",
];

/// A file that is longer has more than one idea in it.
const MOST_LINES: usize = 800;

/// Names that say nothing.
const EMPTY_NAMES: &[&str] = &["utils", "util", "common", "helpers", "helper", "misc", "manager"];

#[test]
fn arrows_point_one_way() {
    let allowed: BTreeMap<_, _> = ARROWS.iter().copied().collect();
    let mut found = Vec::new();
    for folder in folders(&root().join("runtime")) {
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        let may = allowed.get(name.as_str()).unwrap_or_else(|| panic!("runtime/{name} is in no row of ARROWS"));
        for (table, dependency) in dependencies(&folder.join("Cargo.toml")) {
            if let Some(ours) = dependency.strip_prefix("callbox-")
                && !may.contains(&ours)
            {
                found.push(format!("runtime/{name} names {ours} in [{table}]"));
            }
        }
    }
    assert!(found.is_empty(), "arrows that do not exist in the house:\n{}", found.join("\n"));
}

#[test]
fn pure_crates_name_nothing_of_the_world() {
    let mut found = Vec::new();
    for name in PURE {
        let folder = root().join("runtime").join(name);
        for (table, dependency) in dependencies(&folder.join("Cargo.toml")) {
            if table == "dependencies" && IMPURE.contains(&dependency.as_str()) {
                found.push(format!("runtime/{name} names {dependency}"));
            }
        }
        assert!(
            !folder.join("clippy.toml").exists(),
            "runtime/{name} is pure: it has no clippy.toml of its own, so that the root's bans hold"
        );
        for file in rust_files(&folder.join("src")) {
            let text = fs::read_to_string(&file).unwrap();
            for word in ["std::net::UdpSocket", "std::net::TcpStream", "std::fs::", "std::thread::"] {
                if without_tests(&text).contains(word) {
                    found.push(format!("{} names {word}", shown(&file)));
                }
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn files_are_short_and_finished() {
    let mut found = Vec::new();
    for file in tracked() {
        let path = root().join(&file);
        let Ok(text) = fs::read_to_string(&path) else { continue };
        let stem = Path::new(&file).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        if !file.ends_with(".rs") {
            continue;
        }
        let lines = text.lines().count();
        if lines > MOST_LINES {
            found.push(format!("{file} has {lines} lines; {MOST_LINES} is the end"));
        }
        if EMPTY_NAMES.contains(&stem) {
            found.push(format!("{file}: `{stem}` says nothing of what is in it"));
        }
        // Put together here, so that this file does not name what it forbids.
        for word in [["todo", "!("].concat(), ["unimplemented", "!("].concat(), ["FIX", "ME"].concat()] {
            if text.contains(&word) {
                found.push(format!("{file} says {word}"));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn every_story_is_placed_as_a_call_by_a_test() {
    let tests = rust_files(&root().join("tests/tests"))
        .into_iter()
        .chain(rust_files(&root().join("tests/src")))
        .filter(|file| file.file_name().is_some_and(|name| name != "tidy.rs"))
        .map(|file| fs::read_to_string(file).unwrap())
        .collect::<String>();
    for story in folders(&root().join("examples")) {
        if !story.join("story.toml").exists() {
            continue;
        }
        let name = story.file_name().unwrap().to_str().unwrap().to_owned();
        assert!(tests.contains(&format!("\"{name}\"")), "no test places the call of examples/{name}");
    }
}

/// A behaviour that no test asks for holds nothing.
#[test]
fn every_behaviour_of_the_test_guest_is_named_by_a_test() {
    let tests: String = rust_files(&root().join("tests/tests"))
        .into_iter()
        .chain(rust_files(&root().join("tests/src")))
        .filter(|file| file.file_name().is_some_and(|name| name != "tidy.rs"))
        .map(|file| fs::read_to_string(file).unwrap())
        .collect();
    let guest = fs::read_to_string(root().join("tests/fixtures/guests/behaviours/src/lib.rs")).unwrap();
    let table = guest.split("const BEHAVIOURS").nth(1).expect("the table of behaviours");
    let names: Vec<_> = table.lines().filter_map(|line| line.trim().strip_prefix("(\"")?.split('"').next()).collect();
    assert!(names.len() > 30 && names.contains(&"park"), "the table is not read: {names:?}");
    let unused: Vec<_> = names.into_iter().filter(|name| !tests.contains(&format!("\"{name}\""))).collect();
    assert!(unused.is_empty(), "behaviours that no test names: {unused:?}");
}

#[test]
fn the_wire_contract_has_a_host_file_for_each_interface() {
    let host = root().join("runtime/sandbox/src/host");
    let mut found = Vec::new();
    for file in fs::read_dir(root().join("wit")).unwrap() {
        let path = file.unwrap().path();
        let Ok(text) = fs::read_to_string(&path) else { continue };
        for line in text.lines() {
            if let Some(name) = line.strip_prefix("interface ").and_then(|rest| rest.split([' ', '{']).next())
                && name != "types"
                && !host.join(format!("{name}.rs")).exists()
            {
                found.push(format!("interface {name} has no runtime/sandbox/src/host/{name}.rs"));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_tree_names_no_machine_and_no_registry() {
    // Put together here, so that this file does not name what it forbids.
    let forbidden = [
        ["/wo", "rk/"].concat(),
        ["crates", ".io"].concat(),
        ["registry.npm", "js.org"].concat(),
        ["py", "pi.org"].concat(),
    ];
    let mut found = Vec::new();
    for file in tracked() {
        if file.ends_with("Cargo.lock") || file.starts_with("tests/fixtures/rfc4475/") {
            continue;
        }
        let Ok(text) = fs::read_to_string(root().join(&file)) else { continue };
        for word in &forbidden {
            if text.contains(word.as_str()) {
                found.push(format!("{file} names {word}"));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

fn folders(parent: &Path) -> Vec<PathBuf> {
    let mut folders: Vec<_> = fs::read_dir(parent)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir() && path.file_name().is_some_and(|name| name != "target"))
        .collect();
    folders.sort();
    folders
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        let Ok(entries) = fs::read_dir(next) else { continue };
        for path in entries.map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// Table and name of each dependency of a manifest.
fn dependencies(manifest: &Path) -> Vec<(&'static str, String)> {
    let text = fs::read_to_string(manifest).unwrap();
    let manifest: toml::Table = text.parse().unwrap();
    ["dependencies", "dev-dependencies", "build-dependencies"]
        .into_iter()
        .filter_map(|table| Some((table, manifest.get(table)?.as_table()?.clone())))
        .flat_map(|(table, named)| named.into_iter().map(move |(name, _)| (table, name)))
        .collect()
}

fn without_tests(text: &str) -> &str {
    text.split("[cfg(test)]").next().unwrap_or(text)
}

/// Files that git tracks, or would.
fn tracked() -> Vec<String> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git is needed to list the tree");
    assert!(listed.status.success(), "git ls-files: {}", String::from_utf8_lossy(&listed.stderr));
    String::from_utf8(listed.stdout).unwrap().lines().map(str::to_owned).collect()
}
