//! Settings of the driver.

use std::ffi::OsString;
use std::path::PathBuf;

#[derive(Clone, Debug)]
pub struct Config {
    /// Threads that guests run on. Default: one per core.
    pub threads: usize,
    /// Where compiled modules lie. What is in there is trusted as code: it belongs to the node alone.
    pub cache_dir: PathBuf,
    /// The program, with its first arguments, that compiles one module; the job's arguments are
    /// appended. Default: this program with `compile-module`.
    pub compiler_command: Vec<OsString>,
    /// Compilations at once. Default 1: a compiler takes a whole core and up to 1.5 GiB.
    pub compilers: usize,
    /// Modules kept loaded. Default 256: a loaded module is mostly a mapped file.
    pub loaded_modules: usize,
    /// Niceness added to the guests' threads. Default 5: media and lanes come first.
    pub nice: i32,
}

impl Config {
    pub fn new(cache_dir: impl Into<PathBuf>) -> Self {
        let program = std::env::current_exe().map_or_else(|_| OsString::from("callbox"), OsString::from);
        Self {
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            cache_dir: cache_dir.into(),
            compiler_command: vec![program, OsString::from("compile-module")],
            compilers: 1,
            loaded_modules: 256,
            nice: 5,
        }
    }
}
