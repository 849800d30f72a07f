//! `AStatus`: how a method of a service ended.

use crate::abi::parcel::AParcel;
use alloc::ffi::CString;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use microbuild_rpc::{Exception, StatusCode};

/// Codes that the C API names; any other becomes "unknown error".
pub fn prune_status(code: StatusCode) -> StatusCode {
    match code.name() {
        Some(_) => code,
        None => StatusCode::UNKNOWN_ERROR,
    }
}

/// Text up to its first zero byte, where C code would stop reading it too.
pub fn c_string(text: &str) -> CString {
    let bytes: Vec<u8> = text.bytes().take_while(|byte| *byte != 0).collect();
    CString::new(bytes).unwrap_or_default()
}

/// What C code holds by a pointer.
pub struct AStatus {
    /// 0 when the method returned.
    exception: i32,
    /// For `SERVICE_SPECIFIC`, else 0.
    service_specific: i32,
    /// For `TRANSACTION_FAILED`, else OK.
    status: StatusCode,
    message: CString,
}

impl AStatus {
    pub fn ok() -> Self {
        Self {
            exception: 0,
            service_specific: 0,
            status: StatusCode::OK,
            message: CString::default(),
        }
    }

    /// An exception by its code; one that the C API does not name becomes `TRANSACTION_FAILED`.
    pub fn exception(code: i32, message: CString) -> Self {
        let exception = match code {
            Exception::PARCELABLE..=0 => code,
            _ => Exception::TRANSACTION_FAILED,
        };
        let status = match exception {
            Exception::TRANSACTION_FAILED => StatusCode::FAILED_TRANSACTION,
            _ => StatusCode::OK,
        };
        Self {
            exception,
            service_specific: 0,
            status,
            message,
        }
    }

    pub fn service_specific(error: i32, message: CString) -> Self {
        Self {
            exception: Exception::SERVICE_SPECIFIC,
            service_specific: error,
            status: StatusCode::OK,
            message,
        }
    }

    pub fn from_status(status: StatusCode) -> Self {
        let status = prune_status(status);
        let exception = match status {
            StatusCode::OK => 0,
            _ => Exception::TRANSACTION_FAILED,
        };
        Self {
            exception,
            service_specific: 0,
            status,
            message: CString::default(),
        }
    }

    pub fn is_ok(&self) -> bool {
        self.exception == 0
    }
    pub fn exception_code(&self) -> i32 {
        self.exception
    }
    pub fn service_specific_error(&self) -> i32 {
        self.service_specific
    }
    pub fn status(&self) -> StatusCode {
        self.status
    }
    pub fn message(&self) -> &CString {
        &self.message
    }

    /// The head of a reply. A failed transaction has none: its code is the error, for the reply's own status word.
    pub fn write_header(&self, parcel: &mut AParcel) -> Result<(), StatusCode> {
        match self.exception {
            Exception::TRANSACTION_FAILED => Err(self.status),
            0 => parcel.write(|parcel| parcel.write_status(Ok(()))),
            code => {
                let exception = Exception {
                    code,
                    message: Some(self.message.to_string_lossy().into_owned()),
                    service_specific: self.service_specific,
                };
                parcel.write(|parcel| parcel.write_status(Err(&exception)))
            }
        }
    }

    pub fn read_header(parcel: &mut AParcel) -> Result<Self, StatusCode> {
        let Err(exception) = parcel.read(|reader| reader.read_status())? else {
            return Ok(Self::ok());
        };
        let message = c_string(exception.message.as_deref().unwrap_or_default());
        let mut status = Self::exception(exception.code, message);
        status.service_specific = exception.service_specific;
        Ok(status)
    }

    /// For logs.
    pub fn description(&self) -> String {
        match self.exception {
            0 => "ok".to_string(),
            Exception::TRANSACTION_FAILED => format!("transaction failed: {}", self.status),
            code => Exception {
                code,
                message: Some(self.message.to_string_lossy().into_owned()),
                service_specific: self.service_specific,
            }
            .to_string(),
        }
    }
}
