//! The API's own part of the error dictionary. The codes are stable for ever.

use axum::http::StatusCode;

macro_rules! codes {
    ($($name:ident, $code:literal, $status:ident, $title:literal, $means:literal, $remedy:literal;)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Code {$($name,)*}

        impl Code {
            pub(crate) const ALL: &'static [Self] = &[$(Self::$name,)*];

            pub(crate) const fn code(self) -> &'static str {
                match self {$(Self::$name => $code,)*}
            }

            pub(crate) const fn status(self) -> StatusCode {
                match self {$(Self::$name => StatusCode::$status,)*}
            }

            pub(crate) const fn title(self) -> &'static str {
                match self {$(Self::$name => $title,)*}
            }

            pub(crate) const fn means(self) -> &'static str {
                match self {$(Self::$name => $means,)*}
            }

            pub(crate) const fn remedy(self) -> &'static str {
                match self {$(Self::$name => $remedy,)*}
            }
        }
    };
}

codes! {
    BadRequest, "bad-request", BAD_REQUEST, "Bad request",
        "The request is not what HTTP, or this route, says it is.", "Read the detail.";
    BadId, "bad-id", BAD_REQUEST, "Bad id",
        "A part of the path is no id of the kind that stands there.", "Use ids as the API gave them.";
    BadQuery, "bad-query", BAD_REQUEST, "Bad query",
        "A parameter of the query is unknown, or its value is wrong.", "Read the route's parameters in the OpenAPI document.";
    BadJson, "bad-json", BAD_REQUEST, "Bad JSON",
        "The body is no JSON.", "Send one JSON value, in UTF-8.";
    BadHeader, "bad-header", BAD_REQUEST, "Bad header",
        "A header that the route reads has a wrong value.", "Read the detail.";
    TenantNeeded, "tenant-needed", BAD_REQUEST, "Which tenant?",
        "An operator's key was used for something that is made within a tenant, and no tenant was named.",
        "Add `?tenant=` with the tenant's id.";
    Unauthorized, "unauthorized", UNAUTHORIZED, "No valid API key",
        "There was no key, or it opens nothing: unknown, wrong and revoked keys are not told apart.",
        "Send `Authorization: Bearer` and a valid key.";
    OperatorOnly, "operator-only", FORBIDDEN, "For operators only",
        "The key is a tenant's, and this is the operator's to do.", "Ask the operator.";
    TenantSuspended, "tenant-suspended", FORBIDDEN, "Tenant suspended",
        "A suspended tenant can look, and change nothing.", "Ask the operator.";
    DestinationDenied, "destination-denied", FORBIDDEN, "Not to be called",
        "The application may not call there: no number prefix, domain or network of its `outbound` fits, or the \
         operator's own rules are against it.",
        "Add the destination to the application's `outbound`, or ask the operator.";
    CallerIdDenied, "caller-id-denied", FORBIDDEN, "Caller id not allowed",
        "What was to stand in From is not among the application's `caller_ids`.",
        "Leave `from` out, or add it to the application's `outbound.caller_ids`.";
    NotFound, "not-found", NOT_FOUND, "Not found",
        "It is not there, or not within what the key may see.", "Check the id, and whose key is used.";
    NoRoute, "no-route", NOT_FOUND, "No such path",
        "The API has nothing at this path.", "Read the paths in the OpenAPI document, at `/v1/openapi.json`.";
    MethodNotAllowed, "method-not-allowed", METHOD_NOT_ALLOWED, "Method not allowed",
        "The path exists, and does not know this method.", "Use one of the `Allow` header.";
    BodyTooSlow, "body-too-slow", REQUEST_TIMEOUT, "Body too slow",
        "The body did not arrive in time.", "Send it faster, or in a smaller piece.";
    Conflict, "conflict", CONFLICT, "Conflict",
        "What was asked for does not go with what is there.", "Read the detail.";
    NameTaken, "name-taken", CONFLICT, "Name taken",
        "There is one of that name already.", "Take another name, or change what is there.";
    AddressTaken, "address-taken", CONFLICT, "Address taken",
        "The address belongs to a tenant already.", "Delete the number there first.";
    ApplicationInUse, "application-in-use", CONFLICT, "Application in use",
        "Numbers lead to the application.", "Bind them to another, or to none.";
    DomainTaken, "domain-taken", CONFLICT, "Domain taken",
        "The domain belongs to a tenant already.", "Delete it there first.";
    DomainInUse, "domain-in-use", CONFLICT, "Domain in use",
        "Users are in the domain.", "Delete them first.";
    TrunkInUse, "trunk-in-use", CONFLICT, "Trunk in use",
        "An application names the trunk: it can neither go nor change its name.",
        "Let the application's `outbound.trunk` name another, or none.";
    NoTrunk, "no-trunk", CONFLICT, "No trunk",
        "A number was to be called, and the application names no trunk that could carry it.",
        "Name one in the application's `outbound.trunk`.";
    UserNotRegistered, "user-not-registered", CONFLICT, "No phone registered",
        "The user is there, and can be reached under no contact.", "Call again when a phone is registered.";
    StateChanged, "state-changed", CONFLICT, "State changed meanwhile",
        "Somebody else changed the state at the same time.", "Look at it again, then ask again.";
    CallOver, "call-over", CONFLICT, "The call is over",
        "The call has ended; nobody is there to be told.", "Nothing needs to be done.";
    RecordingRunning, "recording-running", CONFLICT, "Recording still running",
        "The recording has no file before it ends.", "Ask again when `length_ms` is there.";
    OwnKey, "own-key", CONFLICT, "The key in use",
        "A key cannot delete itself, so that nobody locks himself out.", "Use another key to delete it.";
    IdempotencyRunning, "idempotency-running", CONFLICT, "Same request still running",
        "A request with this Idempotency-Key has not been answered yet.", "Wait, then repeat the request.";
    RevisionMismatch, "revision-mismatch", PRECONDITION_FAILED, "Changed meanwhile",
        "`If-Match` does not name the current revision: somebody else changed it.",
        "Read it again, make the change again, and send its new revision.";
    TooLarge, "too-large", PAYLOAD_TOO_LARGE, "Too large",
        "The body has more bytes than this route takes.", "Send less; `/v1/limits` shows the limits.";
    UnsupportedMediaType, "unsupported-media-type", UNSUPPORTED_MEDIA_TYPE, "Unsupported media type",
        "The body's Content-Type is not what the route takes.", "Read the detail.";
    RangeNotSatisfiable, "range-not-satisfiable", RANGE_NOT_SATISFIABLE, "No such range",
        "The range asked for lies behind the end of the file.", "Ask for less; `Content-Range` shows the size.";
    Invalid, "invalid", UNPROCESSABLE_ENTITY, "Invalid values",
        "Fields of the body are unknown, missing, or have wrong values; `errors` names each.", "Correct them.";
    IdempotencyMismatch, "idempotency-mismatch", UNPROCESSABLE_ENTITY, "Idempotency-Key used twice",
        "The same Idempotency-Key came with another request before.", "Make a new key for every new request.";
    RevisionNeeded, "revision-needed", PRECONDITION_REQUIRED, "If-Match needed",
        "A change without the revision it is made on could undo somebody else's.",
        "Send `If-Match` with the revision that was read, or `*` for any.";
    RateLimited, "rate-limited", TOO_MANY_REQUESTS, "Too many requests",
        "The key's requests come faster than its rate.", "Wait as long as `Retry-After` says.";
    Quota, "quota", TOO_MANY_REQUESTS, "Limit reached",
        "A limit of the tenant is reached; the detail names it.", "Remove something, wait, or ask the operator for more.";
    TooManyStreams, "too-many-streams", TOO_MANY_REQUESTS, "Too many event streams",
        "The key, or the node, has as many event streams open as it may.", "Close one.";
    Internal, "internal", INTERNAL_SERVER_ERROR, "The node failed",
        "A fault of callbox itself. The request may have been carried out.",
        "Tell the operator the request's id, in `instance`.";
    Unavailable, "unavailable", SERVICE_UNAVAILABLE, "Not available now",
        "Something that the node needs is away, or the node is stopping.", "Repeat the request later.";
    Busy, "busy", SERVICE_UNAVAILABLE, "Busy",
        "The node takes no more connections or uploads at the moment.", "Repeat the request as `Retry-After` says.";
    Timeout, "timeout", GATEWAY_TIMEOUT, "No answer in time",
        "The node did not finish in time. What was asked for may still be carried out.",
        "Look whether it was; or repeat the request with the same Idempotency-Key.";
}

impl Code {
    /// The API's own of that name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.code() == name)
    }

    /// For an answer that came without a problem, from a library.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => Self::NoRoute,
            status if status.is_server_error() => Self::Internal,
            status => Self::ALL.iter().copied().find(|code| code.status() == status).unwrap_or(Self::BadRequest),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use callbox_model::FaultCode;

    use super::*;

    #[test]
    fn no_code_stands_for_two_things() {
        let faults = FaultCode::ALL.iter().map(|fault| fault.code());
        let codes: BTreeSet<_> = Code::ALL.iter().map(|code| code.code()).chain(faults).collect();
        assert_eq!(codes.len(), Code::ALL.len() + FaultCode::ALL.len());
    }
}
