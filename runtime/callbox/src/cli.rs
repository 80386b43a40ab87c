//! The command line: what each command takes. What it does is in the file of its name.

mod call;
mod demo;
mod push;
mod rest;
mod serve;
mod show;
mod usage;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

/// A programmable voice runtime: SIP calls, answered by sandboxed WebAssembly modules.
#[derive(Debug, Parser)]
#[command(name = "callbox", version, max_term_width = 100, disable_help_subcommand = true)]
#[command(after_help = "Start here: `callbox demo` places a real call through a real module on this machine.\n\
    Then: `callbox serve`, `callbox push handler.wasm --number 100`, `callbox call sip:100@127.0.0.1`.")]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a node: SIP, sound, modules and the REST API
    Serve(ServeArgs),
    /// See it work: two modules, a real call, a fault, the fallback and the bill
    Demo(DemoArgs),
    /// Upload a module, and put it to work
    Push(PushArgs),
    /// Call a SIP address from this terminal
    Call(CallArgs),
    /// Show what modules used
    Usage(UsageArgs),
    /// Compile one module in this process, under limits set by the node (used by `serve`)
    #[command(name = "compile-module", hide = true)]
    CompileModule {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
}

#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Configuration file (TOML). Without one: loopback only, everything by default
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the database, keys and recordings are kept. Stands over the file
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
    /// Write the first operator key here (mode 600) instead of showing it
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Print the configuration's manual, with all defaults, and exit
    #[arg(long)]
    print_config: bool,
}

#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Take the modules from here instead of building them
    #[arg(long, value_name = "FOLDER")]
    guests: Option<PathBuf>,
    /// Keep recordings and the database here instead of in a temporary folder
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
}

/// Where the API is, and who asks.
#[derive(Clone, Debug, Args)]
pub struct ApiArgs {
    /// Address of the REST API
    #[arg(long, env = "CALLBOX_API", default_value = "http://127.0.0.1:8080", value_name = "URL")]
    api: String,
    /// API key
    #[arg(long, env = "CALLBOX_KEY", hide_env_values = true, value_name = "KEY")]
    key: Option<String>,
    /// File that holds the API key
    #[arg(long, env = "CALLBOX_KEY_FILE", conflicts_with = "key", value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// With an operator's key: the tenant to act for, by name. It is made when it is not there
    #[arg(long, default_value = DEFAULT_TENANT, value_name = "NAME")]
    tenant: String,
}

#[derive(Debug, Args)]
pub struct PushArgs {
    /// The module: a component, or a core module with its WIT metadata
    module: PathBuf,
    /// Name of the module. Default: the file's
    #[arg(long)]
    name: Option<String>,
    /// Also make (or change) the application of this name, with the module as its primary handler.
    /// Implied, with the module's name, by --fallback, --set and --number
    #[arg(long, value_name = "NAME")]
    application: Option<String>,
    /// Modules that take the call over, in order, when the one before falls
    #[arg(long, value_name = "MODULE")]
    fallback: Vec<String>,
    /// Settings of the application
    #[arg(long, value_name = "NAME=VALUE")]
    set: Vec<String>,
    /// Bind this number to the application. Made when it is not there, for callers of all kinds
    #[arg(long, value_name = "ADDRESS")]
    number: Option<String>,
    #[command(flatten)]
    api: ApiArgs,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Exits with 0 when the call was answered, 1 when it was refused or failed, 2 when it was used wrongly."
)]
pub struct CallArgs {
    /// What to dial, sip:100@127.0.0.1:5060 for example
    uri: String,
    /// Digits to press after the answer; `w` waits half a second
    #[arg(long, default_value = "", value_name = "DIGITS")]
    digits: String,
    /// Write what is heard to this WAV file
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Play this WAV file to the far end
    #[arg(long, value_name = "FILE")]
    play: Option<PathBuf>,
    /// Hang up after so long
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    seconds: u32,
    /// Give up when nobody answers
    #[arg(long, default_value_t = 30, value_name = "SECONDS")]
    ring_seconds: u32,
    /// Who calls
    #[arg(long, default_value = "callbox", value_name = "NAME")]
    from: String,
    /// Use TCP
    #[arg(long)]
    tcp: bool,
    /// Say nothing but errors
    #[arg(long, short)]
    quiet: bool,
}

#[derive(Debug, Args)]
pub struct UsageArgs {
    /// Only of this call: one line for each stretch of control
    #[arg(long, value_name = "CALL")]
    call: Option<String>,
    /// JSON instead of a table
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    api: ApiArgs,
}

pub fn run() -> ExitCode {
    let cli = Cli::parse();
    if let Command::CompileModule { args } = cli.command {
        return callbox_sandbox::compile::child_main(&args);
    }
    match dispatch(cli.command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("callbox: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// For commands that talk to a node.
fn blocking<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

fn dispatch(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Serve(args) => serve::run(args),
        Command::Demo(args) => demo::run(args),
        Command::Push(args) => push::run(args),
        Command::Call(args) => call::run(args),
        Command::Usage(args) => usage::run(args),
        Command::CompileModule { args } => Ok(callbox_sandbox::compile::child_main(&args)),
    }
}

const DEFAULT_TENANT: &str = "default";
