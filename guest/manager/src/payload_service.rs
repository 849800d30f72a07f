//! IVmPayloadService: what the payload may ask of the manager. Semantics and errors are those of Android for a machine
//! that is not protected; the codes are in docs/guest-interface.md.

use std::sync::Arc;

use microbuild_rpc::{Exception, Parcel, ParcelReader, Service, Status, StatusCode};

use crate::failure::Failure;
use crate::keystore::Keystore;
use crate::secrets::Secrets;
use crate::{local_service, lock, SharedHost};

const SOCKET_NAME: &str = "vm_payload_service";
const KEYSTORE_SOCKET_NAME: &str = "microbuild_keystore";
const DESCRIPTOR: &str = "android.system.virtualization.payload.IVmPayloadService";
const NOTIFY_PAYLOAD_READY: u32 = 1;
const GET_VM_INSTANCE_SECRET: u32 = 2;
const GET_DICE_ATTESTATION_CHAIN: u32 = 3;
const GET_DICE_ATTESTATION_CDI: u32 = 4;
const REQUEST_ATTESTATION: u32 = 5;
const WRITE_PAYLOAD_RP_DATA: u32 = 6;
const READ_PAYLOAD_RP_DATA: u32 = 7;
const IS_NEW_INSTANCE: u32 = 8;

const SECRET_SIZE_MAX: usize = microbuild_dice::secret::SECRET_SIZE_MAX;
const CHALLENGE_SIZE_MAX: usize = 64;
const RP_DATA_SIZE: usize = 32;
const STATUS_FAILED_TO_PREPARE_CSR_AND_KEY: i32 = 1;
/// What Android answers where Secretkeeper fails or is not there.
const NO_SECRETKEEPER: i32 = -1;

/// The host, as far as the payload reaches it.
trait HostSide: Send + Sync {
    fn notify_payload_ready(&self) -> Result<(), microbuild_rpc::Error>;
}

impl HostSide for SharedHost {
    fn notify_payload_ready(&self) -> Result<(), microbuild_rpc::Error> {
        lock(self).notify_payload_ready()
    }
}

struct PayloadService<H> {
    host: H,
    secrets: Arc<Secrets>,
}

impl<H: HostSide> Service for PayloadService<H> {
    fn descriptor(&self) -> &str {
        DESCRIPTOR
    }

    fn on_transact(&self, code: u32, arguments: &mut ParcelReader<'_>) -> Result<Parcel, Status> {
        let mut reply = Parcel::reply();
        match code {
            NOTIFY_PAYLOAD_READY => self
                .host
                .notify_payload_ready()
                .map_err(|error| Exception::new(Exception::ILLEGAL_STATE, error.to_string()))?,
            GET_VM_INSTANCE_SECRET => {
                let identifier = arguments.read_bytes()?;
                let size = arguments.read_i32()?;
                let size = usize::try_from(size)
                    .ok()
                    .filter(|size| *size <= SECRET_SIZE_MAX)
                    .ok_or_else(|| {
                        let text = format!("size {size} not in range (0..={SECRET_SIZE_MAX})");
                        Exception::new(Exception::ILLEGAL_ARGUMENT, text)
                    })?;
                reply.write_bytes(&self.secrets.payload_secret(identifier, size));
            }
            GET_DICE_ATTESTATION_CHAIN => {
                reply.write_bytes(restricted(self.secrets.restricted_chain())?);
            }
            GET_DICE_ATTESTATION_CDI => {
                reply.write_bytes(restricted(self.secrets.restricted_cdi())?);
            }
            REQUEST_ATTESTATION => {
                let challenge = arguments.read_bytes()?;
                arguments.read_bool()?;
                return Err(attestation_refusal(challenge).into());
            }
            WRITE_PAYLOAD_RP_DATA => {
                // A fixed-size array: any other size is a parcel of another interface.
                if arguments.read_bytes()?.len() != RP_DATA_SIZE {
                    return Err(StatusCode::BAD_VALUE.into());
                }
                return Err(no_secretkeeper().into());
            }
            READ_PAYLOAD_RP_DATA => return Err(no_secretkeeper().into()),
            IS_NEW_INSTANCE => reply.write_bool(self.secrets.is_new_instance()),
            _ => return Err(StatusCode::UNKNOWN_TRANSACTION.into()),
        }
        Ok(reply)
    }
}

fn restricted(value: Option<&[u8]>) -> Result<&[u8], Exception> {
    value.ok_or_else(|| {
        Exception::new(
            Exception::SECURITY,
            "Use of restricted APIs is not allowed: the payload has no configuration file",
        )
    })
}

fn attestation_refusal(challenge: &[u8]) -> Exception {
    if challenge.len() > CHALLENGE_SIZE_MAX {
        return Exception::service_specific(
            STATUS_FAILED_TO_PREPARE_CSR_AND_KEY,
            format!("the challenge has more than {CHALLENGE_SIZE_MAX} bytes"),
        );
    }
    Exception::new(
        Exception::UNSUPPORTED_OPERATION,
        "a machine that is not protected cannot be attested",
    )
}

fn no_secretkeeper() -> Exception {
    Exception::service_specific(
        NO_SECRETKEEPER,
        "rollback-protected data needs Secretkeeper, which this machine does not have",
    )
}

/// Opens the sockets of the payload service and of the keystore.
pub fn start(host: &SharedHost, secrets: Secrets) -> Result<(), Failure> {
    let secrets = Arc::new(secrets);
    let service = PayloadService {
        host: Arc::clone(host),
        secrets: Arc::clone(&secrets),
    };
    local_service::start(SOCKET_NAME, service)?;
    local_service::start(KEYSTORE_SOCKET_NAME, Keystore::new(secrets))
}

#[cfg(test)]
mod tests {
    use microbuild_dice::PayloadConfig;

    use super::*;
    use crate::secrets::tests::{measurement, secrets};

    struct Silent;

    impl HostSide for Silent {
        fn notify_payload_ready(&self) -> Result<(), microbuild_rpc::Error> {
            Err(microbuild_rpc::Error::Protocol("nobody listens"))
        }
    }

    fn call(
        service: &PayloadService<Silent>,
        code: u32,
        write: impl FnOnce(&mut Parcel),
    ) -> Result<Parcel, Status> {
        let mut arguments = Parcel::new();
        write(&mut arguments);
        service.on_transact(code, &mut arguments.reader())
    }

    fn service(config: PayloadConfig) -> PayloadService<Silent> {
        let mut payload = measurement(1, b"signer");
        payload.config = config;
        let secrets = Arc::new(secrets(1, &payload));
        PayloadService {
            host: Silent,
            secrets,
        }
    }

    fn plain() -> PayloadService<Silent> {
        service(PayloadConfig::Binary("libtest.so".into()))
    }

    fn bytes(reply: Result<Parcel, Status>) -> Vec<u8> {
        let reply = reply.expect("a reply");
        let mut reader = reply.reader();
        reader
            .read_status()
            .expect("a status")
            .expect("no exception");
        reader.read_bytes().expect("bytes").to_vec()
    }

    fn exception(reply: Result<Parcel, Status>) -> (i32, i32) {
        match reply {
            Err(Status::Exception(exception)) => (exception.code, exception.service_specific),
            other => panic!("no exception: {other:?}"),
        }
    }

    #[test]
    fn instance_secret_has_0_to_32_bytes_and_depends_on_its_identifier() {
        let service = plain();
        let secret = |identifier: &[u8], size: i32| {
            call(&service, GET_VM_INSTANCE_SECRET, |arguments| {
                arguments.write_bytes(identifier);
                arguments.write_i32(size);
            })
        };
        let long = bytes(secret(b"a", 32));
        assert_eq!(long.len(), 32);
        assert_eq!(bytes(secret(b"a", 16)), long[..16]);
        assert_eq!(bytes(secret(b"a", 0)), b"");
        assert_ne!(bytes(secret(b"b", 32)), long);
        assert_ne!(bytes(secret(b"", 32)), long);
        for size in [-1, 33, i32::MIN, i32::MAX] {
            assert_eq!(
                exception(secret(b"a", size)),
                (Exception::ILLEGAL_ARGUMENT, 0)
            );
        }
    }

    #[test]
    fn restricted_calls_need_a_configuration_file() {
        for code in [GET_DICE_ATTESTATION_CHAIN, GET_DICE_ATTESTATION_CDI] {
            let refused = call(&plain(), code, |_| {});
            assert_eq!(exception(refused), (Exception::SECURITY, 0));
            let configured = service(PayloadConfig::Path("/mnt/apk/assets/c.json".into()));
            assert!(!bytes(call(&configured, code, |_| {})).is_empty());
        }
    }

    #[test]
    fn what_needs_a_protected_machine_is_refused_as_android_refuses_it() {
        let attest = |size| {
            call(&plain(), REQUEST_ATTESTATION, |arguments| {
                arguments.write_bytes(&vec![0; size]);
                arguments.write_bool(false);
            })
        };
        assert_eq!(exception(attest(64)), (Exception::UNSUPPORTED_OPERATION, 0));
        let prepare = STATUS_FAILED_TO_PREPARE_CSR_AND_KEY;
        assert_eq!(
            exception(attest(65)),
            (Exception::SERVICE_SPECIFIC, prepare)
        );
        let write = |size| {
            call(&plain(), WRITE_PAYLOAD_RP_DATA, |arguments| {
                arguments.write_bytes(&vec![0; size]);
            })
        };
        assert_eq!(exception(write(32)), (Exception::SERVICE_SPECIFIC, -1));
        assert!(matches!(
            write(31),
            Err(Status::Code(StatusCode::BAD_VALUE))
        ));
        let read = call(&plain(), READ_PAYLOAD_RP_DATA, |_| {});
        assert_eq!(exception(read), (Exception::SERVICE_SPECIFIC, -1));
    }

    #[test]
    fn new_instance_is_told_and_a_deaf_host_is_an_illegal_state() {
        let reply = call(&plain(), IS_NEW_INSTANCE, |_| {}).expect("a reply");
        let mut reader = reply.reader();
        reader
            .read_status()
            .expect("a status")
            .expect("no exception");
        assert_eq!(reader.read_bool(), Ok(true));
        let ready = call(&plain(), NOTIFY_PAYLOAD_READY, |_| {});
        assert_eq!(exception(ready), (Exception::ILLEGAL_STATE, 0));
        for code in [0, 9, 101] {
            let unknown = call(&plain(), code, |_| {});
            assert!(matches!(
                unknown,
                Err(Status::Code(StatusCode::UNKNOWN_TRANSACTION))
            ));
        }
    }
}
