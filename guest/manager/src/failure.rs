//! Why the payload does not run, in the words of Android's microdroid_manager.

use std::fmt::Display;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    NoHostService,
    VerificationFailed,
    InvalidConfig,
    Unknown,
}

impl Reason {
    /// As the second serial port carries it.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoHostService => "MICRODROID_FAILED_TO_CONNECT_TO_VIRTUALIZATION_SERVICE",
            Self::VerificationFailed => "MICRODROID_PAYLOAD_VERIFICATION_FAILED",
            Self::InvalidConfig => "MICRODROID_INVALID_PAYLOAD_CONFIG",
            Self::Unknown => "MICRODROID_UNKNOWN_RUNTIME_ERROR",
        }
    }

    /// `ErrorCode` of IVirtualMachineService.
    pub fn error_code(self) -> i32 {
        match self {
            Self::VerificationFailed => 1,
            Self::InvalidConfig => 3,
            Self::NoHostService | Self::Unknown => 0,
        }
    }
}

/// One failure: the reason, the link of the chain of trust that broke, and the words for it.
#[derive(Debug)]
pub struct Failure {
    pub reason: Reason,
    pub link: &'static str,
    pub text: String,
}

impl Failure {
    pub fn verification(link: &'static str, text: impl ToString) -> Self {
        Self {
            reason: Reason::VerificationFailed,
            link,
            text: text.to_string(),
        }
    }

    pub fn config(link: &'static str, text: impl ToString) -> Self {
        Self {
            reason: Reason::InvalidConfig,
            link,
            text: text.to_string(),
        }
    }

    /// The same failure, of a part that is not the only one of its kind.
    pub fn of(self, part: &str) -> Self {
        Self {
            text: format!("{part}: {}", self.text),
            ..self
        }
    }

    /// No link of the chain broke; the machine did not do what it should.
    pub fn runtime(reason: Reason, text: impl ToString) -> Self {
        Self {
            reason,
            link: "runtime",
            text: text.to_string(),
        }
    }

    /// For `map_err`: a step that the machine could not do.
    pub fn cannot<E: Display>(step: impl Display) -> impl FnOnce(E) -> Self {
        move |error| Self::runtime(Reason::Unknown, format!("cannot {step}: {error}"))
    }
}
