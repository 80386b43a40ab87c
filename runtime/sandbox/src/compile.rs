//! A module on its way in: looked at here, compiled in a process of its own.
//!
//! Small modules can make a compiler ask for 13 GB, and no look at the module bounds that. So the
//! compiler is a child with limits of its own, and its death is an answer like another.

mod admit;
mod imports;
mod shape;

use std::ffi::OsString;
use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use callbox_model::Limits;
use rustix::process::{Resource, Rlimit, setpriority_process, setrlimit};
use wasmtime::Engine;

use crate::{UploadRefused, engine};

pub(crate) use admit::{Admitted, admit};

/// Compiles `component` into the file `output`. Blocks; kills the child when its time is over.
pub(crate) fn compile(
    command: &[OsString],
    limits: &Limits,
    component: &Path,
    output: &Path,
) -> Result<(), UploadRefused> {
    let Some((program, first)) = command.split_first() else {
        return Err(UploadRefused::node("no compiler command is set"));
    };
    let mut child = Command::new(program)
        .args(first)
        .arg(limits.compile_memory_bytes.to_string())
        .arg(limits.compile_cpu_s.to_string())
        .arg(limits.stack_bytes.to_string())
        .arg(component)
        .arg(output)
        .env_remove("RUST_BACKTRACE")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| UploadRefused::node(format!("cannot start the compiler: {error}")))?;
    let words = child.stderr.take().map(|pipe| std::thread::spawn(move || last_words(pipe)));
    let status = wait(&mut child, Duration::from_secs(limits.compile_wall_s));
    let words = words.and_then(|thread| thread.join().ok()).unwrap_or_default();
    match status {
        Err(error) => Err(UploadRefused::node(format!("lost the compiler: {error}"))),
        Ok(None) => Err(limit(format!("it took longer than {} s", limits.compile_wall_s))),
        Ok(Some(status)) => verdict(status, &words, limits),
    }
}

/// The compiling process. Arguments: memory in bytes, CPU in seconds, Wasm stack in bytes, the
/// component's file, the file to write. It bounds itself and begins anew, so that what an
/// allocator reserves at its start is within the bounds too.
pub fn child_main(args: &[String]) -> ExitCode {
    match child(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err((code, words)) => {
            eprintln!("{words}");
            ExitCode::from(code)
        }
    }
}

fn child(args: &[String]) -> Result<(), (u8, String)> {
    let [memory, cpu, stack, component, output] = args else {
        return Err((BROKEN, "compile-module is started by callbox itself".to_owned()));
    };
    let number = |text: &String| text.parse::<u64>().map_err(|_| (BROKEN, format!("`{text}` is no number")));
    let (memory, cpu, stack) = (number(memory)?, number(cpu)?, number(stack)?);
    if std::env::var_os(BOUNDED).is_none() {
        return Err((BROKEN, bounded(memory, cpu)));
    }
    let bytes = std::fs::read(component).map_err(|error| (BROKEN, format!("cannot read {component}: {error}")))?;
    let config = engine::base(stack);
    let engine = Engine::new(&config).map_err(|error| (BROKEN, format!("{error:#}")))?;
    let compiled = engine.precompile_component(&bytes).map_err(|error| (REFUSED, format!("{error:#}")))?;
    std::fs::write(output, compiled).map_err(|error| (BROKEN, format!("cannot write {output}: {error}")))
}

/// Takes the process's place with one that is bounded from its first instruction. Comes back only
/// with words about why that cannot be.
fn bounded(memory: u64, cpu: u64) -> String {
    let bound = |resource, value| setrlimit(resource, Rlimit { current: Some(value), maximum: Some(value) });
    let bounds = bound(Resource::As, memory).and(bound(Resource::Cpu, cpu)).and(bound(Resource::Core, 0));
    if let Err(error) = bounds {
        return format!("cannot limit the compiler: {error}");
    }
    // Its manners are not worth failing for.
    let _ = setpriority_process(None, 19);
    let mut own = std::env::args_os();
    let name = own.next().unwrap_or_default();
    let program = std::env::current_exe().unwrap_or_else(|_| name.into());
    let error = Command::new(program).args(own).env(BOUNDED, "yes").exec();
    format!("cannot begin the compiler anew: {error}")
}

fn wait(child: &mut Child, limit: Duration) -> std::io::Result<Option<ExitStatus>> {
    let deadline = Instant::now() + limit;
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

fn last_words(mut pipe: impl Read) -> String {
    let mut words = Vec::new();
    let _ = pipe.by_ref().take(WORDS_BYTES).read_to_end(&mut words);
    // A child that says more must not hang on a full pipe.
    let _ = std::io::copy(&mut pipe, &mut std::io::sink());
    String::from_utf8_lossy(&words).trim().to_owned()
}

fn verdict(status: ExitStatus, words: &str, limits: &Limits) -> Result<(), UploadRefused> {
    match (status.code(), status.signal()) {
        (Some(0), _) => Ok(()),
        (Some(code), _) if code == i32::from(BROKEN) => Err(UploadRefused::node(words)),
        (Some(code), _) if code == i32::from(REFUSED) && words.contains("implementation limit") => {
            Err(limit(words.to_owned()))
        }
        (Some(code), _) if code == i32::from(REFUSED) => Err(UploadRefused::new("invalid-wasm", words)),
        (_, Some(signal)) if signal == libc::SIGXCPU || signal == libc::SIGKILL => {
            Err(limit(format!("it used more than {} s of CPU time", limits.compile_cpu_s)))
        }
        _ if words.contains("memory allocation") || words.contains("Cannot allocate memory") => {
            Err(limit(format!("it needed more than {} MiB of memory", limits.compile_memory_bytes >> 20)))
        }
        _ => Err(limit(format!("it ended with {status}: {words}"))),
    }
}

fn limit(what: String) -> UploadRefused {
    UploadRefused::new("compile-limit", format!("compiling the module: {what}"))
}

/// Set for the process that is bounded.
const BOUNDED: &str = "CALLBOX_COMPILER_BOUNDED";
/// The compiler looked at the module and refused it.
const REFUSED: u8 = 3;
/// The compiler could not do its work.
const BROKEN: u8 = 4;
const WORDS_BYTES: u64 = 4 << 10;
