//! Why the payload does not run, in the words of Android's microdroid_manager.

use std::fmt::Display;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    NoHostService,
    PayloadChanged,
    VerificationFailed,
    InvalidConfig,
    Unknown,
}

impl Reason {
    /// As the second serial port carries it.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoHostService => "MICRODROID_FAILED_TO_CONNECT_TO_VIRTUALIZATION_SERVICE",
            Self::PayloadChanged => "MICRODROID_PAYLOAD_HAS_CHANGED",
            Self::VerificationFailed => "MICRODROID_PAYLOAD_VERIFICATION_FAILED",
            Self::InvalidConfig => "MICRODROID_INVALID_PAYLOAD_CONFIG",
            Self::Unknown => "MICRODROID_UNKNOWN_RUNTIME_ERROR",
        }
    }

    /// `ErrorCode` of IVirtualMachineService.
    pub fn error_code(self) -> i32 {
        match self {
            Self::VerificationFailed => 1,
            Self::PayloadChanged => 2,
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

    /// It is signed by somebody who is trusted, and yet not what this instance has run before.
    pub fn changed(link: &'static str, text: impl ToString) -> Self {
        Self {
            reason: Reason::PayloadChanged,
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

#[cfg(test)]
mod tests {
    use super::*;

    /// AOSP Virtualization microdroid_manager, `translate_error` and `write_death_reason_to_serial`.
    #[test]
    fn reasons_have_androids_codes_and_names() {
        let android = [
            (
                Reason::NoHostService,
                0,
                "MICRODROID_FAILED_TO_CONNECT_TO_VIRTUALIZATION_SERVICE",
            ),
            (
                Reason::VerificationFailed,
                1,
                "MICRODROID_PAYLOAD_VERIFICATION_FAILED",
            ),
            (Reason::PayloadChanged, 2, "MICRODROID_PAYLOAD_HAS_CHANGED"),
            (
                Reason::InvalidConfig,
                3,
                "MICRODROID_INVALID_PAYLOAD_CONFIG",
            ),
            (Reason::Unknown, 0, "MICRODROID_UNKNOWN_RUNTIME_ERROR"),
        ];
        for (reason, code, name) in android {
            assert_eq!((reason.error_code(), reason.name()), (code, name));
        }
    }

    #[test]
    fn failure_names_the_part_that_it_is_of() {
        let failure = Failure::verification("idsig", "broken").of("extra-apk-1");
        assert_eq!(
            (failure.link, failure.text.as_str()),
            ("idsig", "extra-apk-1: broken")
        );
    }
}
