//! Yorkie's own errors: the code, the text, and the name that SDKs act on.

use crate::protocol::error::{Code, RpcError};
use crate::store::client::StoreError;

/// One of Yorkie's errors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known(Code, &'static str, &'static str);

macro_rules! known {
    ($($name:ident = $code:ident, $text:literal, $reason:literal;)*) => {
        $(
            #[doc = $text]
            pub(crate) const $name: Known = Known(Code::$code, $text, $reason);
        )*
    };
}

known! {
    INVALID_CLIENT_KEY = InvalidArgument, "invalid client key", "ErrInvalidClientKey";
    INVALID_HEX = InvalidArgument, "invalid hex string", "ErrInvalidHexString";
    INVALID_ACTOR_ID = InvalidArgument, "invalid actor id", "ErrInvalidActorID";
    INVALID_ID = InvalidArgument, "invalid ID", "ErrInvalidID";
    INVALID_KEY = InvalidArgument, "invalid key, slug with 4-120 characters", "ErrInvalidKey";
    INVALID_CHANNEL_KEY = InvalidArgument, "channel key is invalid", "ErrInvalidChannelKey";
    PACK_REQUIRED = InvalidArgument, "pack required", "ErrPackRequired";
    CHECKPOINT_REQUIRED = InvalidArgument, "checkpoint required", "ErrCheckpointRequired";
    INVALID_CLIENT_SEQ = InvalidArgument, "change clientSeq must increase by one", "ErrInvalidClientSeq";
    INVALID_SERVER_SEQ = InvalidArgument, "checkpoint serverSeq exceeds server state", "ErrInvalidServerSeq";
    UNAUTHENTICATED = Unauthenticated, "authorization is not provided", "ErrUnauthenticated";
    MISMATCHED_PASSWORD = Unauthenticated, "mismatched password", "ErrMismatchedPassword";
    PROJECT_NOT_FOUND = NotFound, "project not found", "ErrProjectNotFound";
    CLIENT_NOT_FOUND = NotFound, "client not found", "ErrClientNotFound";
    DOCUMENT_NOT_FOUND = NotFound, "document not found", "ErrDocumentNotFound";
    SESSION_NOT_FOUND = NotFound, "session not found", "ErrSessionNotFound";
    REVISION_NOT_FOUND = NotFound, "revision not found", "ErrRevisionNotFound";
    CLIENT_NOT_ACTIVATED = FailedPrecondition, "client not activated", "ErrClientNotActivated";
    DOCUMENT_NOT_ATTACHED = FailedPrecondition, "document not attached", "ErrDocumentNotAttached";
    DOCUMENT_NEVER_ATTACHED = FailedPrecondition, "document never attached", "ErrDocumentNeverAttached";
    DOCUMENT_ALREADY_ATTACHED = FailedPrecondition, "document already attached", "ErrDocumentAlreadyAttached";
    DOCUMENT_ALREADY_DETACHED = FailedPrecondition, "document already detached", "ErrDocumentAlreadyDetached";
    CONFLICT_ON_UPDATE = FailedPrecondition, "conflict on update", "ErrConflictOnUpdate";
}

impl Known {
    /// This error, after what was being done.
    pub(crate) fn at(self, what: impl std::fmt::Display) -> RpcError {
        RpcError::from(self).while_doing(what)
    }
}

impl From<Known> for RpcError {
    fn from(Known(code, text, reason): Known) -> Self {
        Self {
            reason: Some(reason),
            ..Self::new(code, text)
        }
    }
}

impl From<StoreError> for RpcError {
    fn from(error: StoreError) -> Self {
        Self::new(Code::Internal, error.to_string())
    }
}
