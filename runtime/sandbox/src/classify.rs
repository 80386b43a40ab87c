//! From what wasmtime reports to the fault's code. The order matters: see each stage.

use callbox_model::{Fault, FaultCode};
use thiserror::Error;
use wasmtime::{Trap, WasmBacktrace};

use crate::run::GuestEnd;

/// Every error of the host's own, so that whatever else comes out of a call is the guest's.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum Kill {
    #[error("more CPU time than allowed between two steps")]
    OutOfCpu,
    #[error("more wall time than allowed between two steps")]
    TooSlow,
    #[error("kept at its rate of host calls for too long")]
    HostCalls,
    #[error("{0}")]
    Node(String),
}

/// `refused` is what the limiter said no to: memory, table.
pub(crate) fn end_of(error: &wasmtime::Error, refused: (bool, bool)) -> GuestEnd {
    // 1. Our own word.
    if let Some(kill) = error.downcast_ref::<Kill>() {
        return GuestEnd::Fault(killed(kill));
    }
    if let Some(exit) = error.downcast_ref::<wasmtime_wasi::I32Exit>() {
        return match exit.0 {
            0 => GuestEnd::Ok,
            status => GuestEnd::Fault(Fault::new(FaultCode::ReturnedError, format!("it exited with status {status}"))),
        };
    }
    GuestEnd::Fault(Fault::new(code(error, refused), words(error)))
}

pub(crate) fn killed(kill: &Kill) -> Fault {
    let code = match kill {
        Kill::OutOfCpu => FaultCode::OutOfCpu,
        Kill::TooSlow => FaultCode::TooSlow,
        Kill::HostCalls => FaultCode::TooManyHostCalls,
        Kill::Node(_) => FaultCode::HostDependency,
    };
    Fault::new(code, kill.to_string())
}

/// An error of instantiation: the guest's code may have run in it, but only a limit keeps its name.
pub(crate) fn start_end_of(error: &wasmtime::Error, refused: (bool, bool)) -> GuestEnd {
    match end_of(error, refused) {
        GuestEnd::Fault(fault) if !KEPT_AT_START.contains(&fault.code) => {
            GuestEnd::Fault(Fault::new(FaultCode::StartFailed, fault.message))
        }
        GuestEnd::Ok => GuestEnd::Fault(Fault::new(FaultCode::StartFailed, "it exited before `handle`")),
        end => end,
    }
}

fn code(error: &wasmtime::Error, (memory, table): (bool, bool)) -> FaultCode {
    // 2. A trap. Being out of memory looks like `unreachable` to a language's runtime.
    if let Some(trap) = error.downcast_ref::<Trap>() {
        if !matches!(trap, Trap::StackOverflow | Trap::Interrupt) {
            if memory {
                return FaultCode::OutOfMemory;
            }
            if table {
                return FaultCode::OutOfTable;
            }
        }
        return match trap {
            Trap::UnreachableCodeReached => FaultCode::TrapUnreachable,
            Trap::StackOverflow => FaultCode::StackOverflow,
            Trap::MemoryOutOfBounds | Trap::HeapMisaligned => FaultCode::TrapOutOfBounds,
            Trap::TableOutOfBounds | Trap::IndirectCallToNull | Trap::BadSignature | Trap::NullReference => {
                FaultCode::TrapIndirectCall
            }
            Trap::IntegerOverflow | Trap::IntegerDivisionByZero | Trap::BadConversionToInteger => {
                FaultCode::TrapArithmetic
            }
            Trap::Interrupt => FaultCode::OutOfCpu,
            Trap::OutOfFuel => FaultCode::OutOfFuel,
            Trap::CannotEnterComponent
            | Trap::CannotLeaveComponent
            | Trap::InvalidChar
            | Trap::StringOutOfBounds
            | Trap::ListOutOfBounds
            | Trap::InvalidDiscriminant
            | Trap::UnalignedPointer => FaultCode::BadValue,
            _ => FaultCode::TrapOther,
        };
    }
    // 3. The pool is ours; the resource table is the guest's.
    if error.downcast_ref::<wasmtime::PoolConcurrencyLimitError>().is_some() {
        return FaultCode::NoInstanceFree;
    }
    if error.downcast_ref::<wasmtime::component::ResourceTableError>().is_some() {
        return FaultCode::TooManyHandles;
    }
    // 4. Types of wasmtime that are private, by their text.
    let text = format!("{error:#}");
    if text.contains("fuel allocated for hostcalls") {
        return FaultCode::ValueTooLarge;
    }
    if text.contains("store handle limit exceeded") || text.contains("resource table has no free keys") {
        return FaultCode::TooManyHandles;
    }
    // 5. What is left are values that are not what their type says. Our own functions give `Kill` alone.
    if memory { FaultCode::OutOfMemory } else { FaultCode::BadValue }
}

/// The innermost cause, and where in the module.
fn words(error: &wasmtime::Error) -> String {
    let mut text = error.root_cause().to_string();
    if let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() {
        let frames: Vec<_> = backtrace.frames().iter().filter_map(|frame| frame.func_name()).take(FRAMES).collect();
        if !frames.is_empty() {
            text.push_str(", in ");
            text.push_str(&frames.join(" < "));
        }
    }
    if text.len() > MESSAGE_BYTES {
        text.truncate(text.floor_char_boundary(MESSAGE_BYTES));
        text.push('…');
    }
    text
}

const KEPT_AT_START: &[FaultCode] =
    &[FaultCode::OutOfCpu, FaultCode::TooSlow, FaultCode::NoInstanceFree, FaultCode::HostDependency];
const FRAMES: usize = 5;
const MESSAGE_BYTES: usize = 500;
