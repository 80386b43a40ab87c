//! Why a module lost control: the error dictionary.
//!
//! The codes are stable for ever. The API serves this table at `/v1/errors`.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A code and what happened, in words for the module's author.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    pub code: FaultCode,
    pub message: String,
}

/// Whose fault it is. Only the module's own count against the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Blame {
    Module,
    /// A setting of the tenant or the operator.
    Configuration,
    /// The node. The tenant is not charged.
    Node,
}

impl Fault {
    pub fn new(code: FaultCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

macro_rules! faults {
    ($($name:ident, $code:literal, $blame:ident, $title:literal, $means:literal, $remedy:literal;)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum FaultCode {$(
            #[serde(rename = $code)]
            $name,
        )*}

        impl FaultCode {
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            pub const fn code(self) -> &'static str {
                match self {$(Self::$name => $code,)*}
            }

            pub const fn title(self) -> &'static str {
                match self {$(Self::$name => $title,)*}
            }

            /// What it means to the module's author.
            pub const fn means(self) -> &'static str {
                match self {$(Self::$name => $means,)*}
            }

            pub const fn remedy(self) -> &'static str {
                match self {$(Self::$name => $remedy,)*}
            }

            pub const fn blame(self) -> Blame {
                match self {$(Self::$name => Blame::$blame,)*}
            }
        }
    };
}

faults! {
    TrapUnreachable, "trap-unreachable", Module, "The module ran into `unreachable`",
        "A panic, an assertion, an abort, or code the compiler held to be unreachable.",
        "Read the module's log lines before the fault: most languages write the panic's message there.";
    TrapOutOfBounds, "trap-out-of-bounds", Module, "Memory access out of bounds",
        "A load or store beyond the linear memory.", "Look for a bad pointer or index in unsafe code.";
    TrapIndirectCall, "trap-indirect-call", Module, "Bad indirect call",
        "A call through a null function pointer, a wrong index, or with a wrong signature.",
        "Look for a wild function pointer or a cast between function types.";
    TrapArithmetic, "trap-arithmetic", Module, "Arithmetic trap",
        "Integer division by zero, overflow in division, or a float that fits no integer.",
        "Check divisors and conversions.";
    TrapOther, "trap-other", Module, "Another trap of WebAssembly",
        "A trap that has no code of its own; the message says which.", "Read the message.";
    StackOverflow, "stack-overflow", Module, "Stack overflow",
        "The calls went deeper than the Wasm stack limit.", "Look for unbounded recursion.";
    OutOfCpu, "out-of-cpu", Module, "Too much CPU time between two steps",
        "The module computed longer than its limit without asking for a step.",
        "Look for an endless loop; move heavy work out of the call.";
    OutOfFuel, "out-of-fuel", Module, "Out of fuel",
        "A workflow or filter used more instructions than one question may cost.", "Do less for each question.";
    TooSlow, "too-slow", Module, "Too much wall time between two steps",
        "The module took too long to ask for its next step, its waiting for CPU included.",
        "Do less between steps, or ask the operator for a larger share.";
    OutOfMemory, "out-of-memory", Module, "Out of memory",
        "Growth of the linear memory was refused at the limit, and the module then fell.",
        "Use less memory, or ask the operator for a higher limit.";
    OutOfTable, "out-of-table", Module, "Out of table elements",
        "Growth of a table was refused at the limit, and the module then fell.", "Use fewer table elements.";
    TooManyHostCalls, "too-many-host-calls", Module, "Too many host calls",
        "The module was slowed to its rate of host calls and stayed at it for too long.",
        "Wait for events instead of polling.";
    TooManyHandles, "too-many-handles", Module, "Too many handles",
        "The module holds more resources than it may.", "Drop what is no longer used.";
    ValueTooLarge, "value-too-large", Module, "Value too large",
        "More bytes were handed over in one host call, or in a result, than may be.", "Send less at once.";
    BadValue, "bad-value", Module, "Not what its type says",
        "A value handed to the host was no valid value of its type: a bad pointer, text that is no UTF-8, an unknown case.",
        "Rebuild the module with the bindings of this contract.";
    ReturnedError, "returned-error", Module, "The handler returned an error",
        "`handle` ended with an error other than `ended`.", "Handle the step error, or let the fallback do it.";
    StartFailed, "start-failed", Module, "The module could not be started",
        "Instantiation failed, its start function included.", "Try the module with `callbox call` on a laptop; read the message.";
    NoInstanceFree, "no-instance-free", Node, "No instance free",
        "The pool, or the tenant's share of it, is in use.", "Wait, end calls, or ask the operator for more.";
    ModuleMissing, "module-missing", Configuration, "Module missing",
        "The application names a module or version that is not there.", "Upload it, or correct the application.";
    ModuleDisabled, "module-disabled", Configuration, "Module disabled",
        "The tenant or the operator has switched the module off.", "Enable it.";
    ModuleQuarantined, "module-quarantined", Configuration, "Module quarantined",
        "The operator has put the module in quarantine.", "Ask the operator.";
    BreakerOpen, "breaker-open", Configuration, "Circuit breaker open",
        "The module failed too often lately; calls go to the next handler at once.", "Mend the module; reset the breaker.";
    HostDependency, "host-dependency", Node, "Something the node needs is away",
        "The node could not do its part. The tenant is not charged.", "Tell the operator.";
    TooManySwitches, "too-many-switches", Module, "Too many switches",
        "The call went from handler to handler more often than it may.", "Look for handlers that hand a call back and forth.";
    HandlerTime, "handler-time", Module, "Too much handler time",
        "The handlers held the call longer than a call may last.", "End the call, or ask the operator for a longer time.";
}

impl fmt::Display for FaultCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_code_is_listed_once_and_is_its_own_json() {
        let codes: BTreeSet<_> = FaultCode::ALL.iter().map(|fault| fault.code()).collect();
        assert_eq!(codes.len(), FaultCode::ALL.len());
        for fault in FaultCode::ALL {
            assert_eq!(serde_json::to_string(fault).unwrap(), format!("\"{}\"", fault.code()));
        }
    }
}
