// Made by `microbuild aidl rust`: change the .aidl files, not this.

#[allow(clippy::all, clippy::pedantic, dead_code, non_camel_case_types, non_snake_case, non_upper_case_globals, unused_imports, unused_mut, unused_variables)]
pub mod dev {
    pub mod microbuild {
        pub mod keystore {
            use ::vm_payload::aidl as _aidl;

            _aidl::aidl_enum! {
                /// What a key is for. It takes part in the key's derivation: one alias names another key for each algorithm.
                Algorithm : i32 {
                    /// sign, verify. Signatures of 64 bytes (RFC 8032).
                    ED25519 = 1,
                    /// sign, verify. ECDSA over P-256 and SHA-256, deterministic (RFC 6979), signatures in DER.
                    ECDSA_P256 = 2,
                    /// mac, verify. 32 bytes.
                    HMAC_SHA256 = 3,
                    /// seal, open.
                    AES_256_GCM = 4,
                }
            }

            /// Keys of this instance and payload, on the unix socket /dev/socket/microbuild_keystore, which only the payload's user can
            /// open. Not an interface of Android's. No key is stored: each is derived from the instance's secret and the payload's
            /// signers whenever it is used, so that it is there in every boot, for every payload by the same signers, and for nobody else.
            ///
            /// Failures are service-specific exceptions with the codes below. Messages, plaintexts and additional data have at most
            /// 65536 bytes each.
            pub trait IMicrobuildKeystore: Send + Sync + 'static {
                /// Secret bytes for uses of the payload's own. @param size 16 to 64; each size gives other bytes.
                fn deriveKey(&self, alias: &str, size: i32) -> _aidl::Result<_aidl::lib::Vec<u8>>;
                /// Makes sure that there is such a key; calling it again changes nothing, not calling it neither.
                ///
                /// @return The public key as getPublicKey gives it; empty for a symmetric key.
                fn generateKey(&self, key: &KeySpec) -> _aidl::Result<_aidl::lib::Vec<u8>>;
                /// DER SubjectPublicKeyInfo (RFC 5280). ERROR_BAD_ALGORITHM for a symmetric key.
                fn getPublicKey(&self, key: &KeySpec) -> _aidl::Result<_aidl::lib::Vec<u8>>;
                fn sign(&self, key: &KeySpec, message: &[u8]) -> _aidl::Result<_aidl::lib::Vec<u8>>;
                /// Whether the signature (or mac) is one of this key over this message.
                fn verify(&self, key: &KeySpec, message: &[u8], signature: &[u8]) -> _aidl::Result<bool>;
                fn mac(&self, key: &KeySpec, message: &[u8]) -> _aidl::Result<_aidl::lib::Vec<u8>>;
                /// Encrypts, for storage by somebody who is not trusted. @param aad Has to be given to open again.
                fn seal(&self, key: &KeySpec, plaintext: &[u8], aad: &[u8]) -> _aidl::Result<_aidl::lib::Vec<u8>>;
                fn open(&self, key: &KeySpec, sealed: &[u8], aad: &[u8]) -> _aidl::Result<_aidl::lib::Vec<u8>>;
            }

            /// Serves an implementation of [`IMicrobuildKeystore`].
            pub struct BnMicrobuildKeystore<T>(pub T);

            impl<T: IMicrobuildKeystore> _aidl::Service for BnMicrobuildKeystore<T> {
                fn descriptor(&self) -> &str {
                    BpMicrobuildKeystore::DESCRIPTOR
                }

                fn on_transact(&self, _aidl_code: u32, _aidl_input: &mut _aidl::Decoder<'_>) -> _aidl::Result<_aidl::Encoder> {
                    let mut _aidl_reply = _aidl::Encoder::reply();
                    match _aidl_code {
                        // byte[] deriveKey(String alias, int size)
                        1 => {
                            let alias: _aidl::lib::String = _aidl_input.read()?;
                            let size: i32 = _aidl_input.read()?;
                            let _aidl_result = self.0.deriveKey(&alias, size)?;
                            _aidl_reply.write(&_aidl_result)?;
                        }
                        // byte[] generateKey(KeySpec key)
                        2 => {
                            let key: KeySpec = _aidl_input.read()?;
                            let _aidl_result = self.0.generateKey(&key)?;
                            _aidl_reply.write(&_aidl_result)?;
                        }
                        // byte[] getPublicKey(KeySpec key)
                        3 => {
                            let key: KeySpec = _aidl_input.read()?;
                            let _aidl_result = self.0.getPublicKey(&key)?;
                            _aidl_reply.write(&_aidl_result)?;
                        }
                        // byte[] sign(KeySpec key, byte[] message)
                        4 => {
                            let key: KeySpec = _aidl_input.read()?;
                            let message: _aidl::lib::Vec<u8> = _aidl_input.read()?;
                            let _aidl_result = self.0.sign(&key, &message)?;
                            _aidl_reply.write(&_aidl_result)?;
                        }
                        // boolean verify(KeySpec key, byte[] message, byte[] signature)
                        5 => {
                            let key: KeySpec = _aidl_input.read()?;
                            let message: _aidl::lib::Vec<u8> = _aidl_input.read()?;
                            let signature: _aidl::lib::Vec<u8> = _aidl_input.read()?;
                            let _aidl_result = self.0.verify(&key, &message, &signature)?;
                            _aidl_reply.write(&_aidl_result)?;
                        }
                        // byte[] mac(KeySpec key, byte[] message)
                        6 => {
                            let key: KeySpec = _aidl_input.read()?;
                            let message: _aidl::lib::Vec<u8> = _aidl_input.read()?;
                            let _aidl_result = self.0.mac(&key, &message)?;
                            _aidl_reply.write(&_aidl_result)?;
                        }
                        // byte[] seal(KeySpec key, byte[] plaintext, byte[] aad)
                        7 => {
                            let key: KeySpec = _aidl_input.read()?;
                            let plaintext: _aidl::lib::Vec<u8> = _aidl_input.read()?;
                            let aad: _aidl::lib::Vec<u8> = _aidl_input.read()?;
                            let _aidl_result = self.0.seal(&key, &plaintext, &aad)?;
                            _aidl_reply.write(&_aidl_result)?;
                        }
                        // byte[] open(KeySpec key, byte[] sealed, byte[] aad)
                        8 => {
                            let key: KeySpec = _aidl_input.read()?;
                            let sealed: _aidl::lib::Vec<u8> = _aidl_input.read()?;
                            let aad: _aidl::lib::Vec<u8> = _aidl_input.read()?;
                            let _aidl_result = self.0.open(&key, &sealed, &aad)?;
                            _aidl_reply.write(&_aidl_result)?;
                        }
                        _ => return Err(_aidl::StatusCode::UNKNOWN_TRANSACTION.into()),
                    }
                    Ok(_aidl_reply)
                }
            }

            _aidl::aidl_proxy! {
                /// Calls an object that serves [`IMicrobuildKeystore`].
                BpMicrobuildKeystore
            }

            impl BpMicrobuildKeystore {
                pub const DESCRIPTOR: &'static str = "dev.microbuild.keystore.IMicrobuildKeystore";

                pub fn getInterfaceVersion(&self) -> _aidl::Result<i32> {
                    let _aidl_reply = self.0.call(Self::DESCRIPTOR, _aidl::GET_INTERFACE_VERSION, |_| Ok(()))?;
                    Ok(_aidl_reply.results()?.read()?)
                }

                pub fn getInterfaceHash(&self) -> _aidl::Result<_aidl::lib::String> {
                    let _aidl_reply = self.0.call(Self::DESCRIPTOR, _aidl::GET_INTERFACE_HASH, |_| Ok(()))?;
                    Ok(_aidl_reply.results()?.read()?)
                }
            }

            impl IMicrobuildKeystore for BpMicrobuildKeystore {
                fn deriveKey(&self, alias: &str, size: i32) -> _aidl::Result<_aidl::lib::Vec<u8>> {
                    let _aidl_reply = self.0.call(Self::DESCRIPTOR, 1, |_aidl_out| {
                        _aidl_out.write_str(alias);
                        _aidl_out.write(&size)?;
                        Ok(())
                    })?;
                    let mut _aidl_input = _aidl_reply.results()?;
                    let _aidl_result = _aidl_input.read()?;
                    Ok(_aidl_result)
                }

                fn generateKey(&self, key: &KeySpec) -> _aidl::Result<_aidl::lib::Vec<u8>> {
                    let _aidl_reply = self.0.call(Self::DESCRIPTOR, 2, |_aidl_out| {
                        _aidl_out.write(key)?;
                        Ok(())
                    })?;
                    let mut _aidl_input = _aidl_reply.results()?;
                    let _aidl_result = _aidl_input.read()?;
                    Ok(_aidl_result)
                }

                fn getPublicKey(&self, key: &KeySpec) -> _aidl::Result<_aidl::lib::Vec<u8>> {
                    let _aidl_reply = self.0.call(Self::DESCRIPTOR, 3, |_aidl_out| {
                        _aidl_out.write(key)?;
                        Ok(())
                    })?;
                    let mut _aidl_input = _aidl_reply.results()?;
                    let _aidl_result = _aidl_input.read()?;
                    Ok(_aidl_result)
                }

                fn sign(&self, key: &KeySpec, message: &[u8]) -> _aidl::Result<_aidl::lib::Vec<u8>> {
                    let _aidl_reply = self.0.call(Self::DESCRIPTOR, 4, |_aidl_out| {
                        _aidl_out.write(key)?;
                        _aidl_out.write_slice(message)?;
                        Ok(())
                    })?;
                    let mut _aidl_input = _aidl_reply.results()?;
                    let _aidl_result = _aidl_input.read()?;
                    Ok(_aidl_result)
                }

                fn verify(&self, key: &KeySpec, message: &[u8], signature: &[u8]) -> _aidl::Result<bool> {
                    let _aidl_reply = self.0.call(Self::DESCRIPTOR, 5, |_aidl_out| {
                        _aidl_out.write(key)?;
                        _aidl_out.write_slice(message)?;
                        _aidl_out.write_slice(signature)?;
                        Ok(())
                    })?;
                    let mut _aidl_input = _aidl_reply.results()?;
                    let _aidl_result = _aidl_input.read()?;
                    Ok(_aidl_result)
                }

                fn mac(&self, key: &KeySpec, message: &[u8]) -> _aidl::Result<_aidl::lib::Vec<u8>> {
                    let _aidl_reply = self.0.call(Self::DESCRIPTOR, 6, |_aidl_out| {
                        _aidl_out.write(key)?;
                        _aidl_out.write_slice(message)?;
                        Ok(())
                    })?;
                    let mut _aidl_input = _aidl_reply.results()?;
                    let _aidl_result = _aidl_input.read()?;
                    Ok(_aidl_result)
                }

                fn seal(&self, key: &KeySpec, plaintext: &[u8], aad: &[u8]) -> _aidl::Result<_aidl::lib::Vec<u8>> {
                    let _aidl_reply = self.0.call(Self::DESCRIPTOR, 7, |_aidl_out| {
                        _aidl_out.write(key)?;
                        _aidl_out.write_slice(plaintext)?;
                        _aidl_out.write_slice(aad)?;
                        Ok(())
                    })?;
                    let mut _aidl_input = _aidl_reply.results()?;
                    let _aidl_result = _aidl_input.read()?;
                    Ok(_aidl_result)
                }

                fn open(&self, key: &KeySpec, sealed: &[u8], aad: &[u8]) -> _aidl::Result<_aidl::lib::Vec<u8>> {
                    let _aidl_reply = self.0.call(Self::DESCRIPTOR, 8, |_aidl_out| {
                        _aidl_out.write(key)?;
                        _aidl_out.write_slice(sealed)?;
                        _aidl_out.write_slice(aad)?;
                        Ok(())
                    })?;
                    let mut _aidl_input = _aidl_reply.results()?;
                    let _aidl_result = _aidl_input.read()?;
                    Ok(_aidl_result)
                }
            }

            impl BpMicrobuildKeystore {
                /// The alias is empty, too long, or holds characters that aliases cannot have.
                pub const ERROR_BAD_ALIAS: i32 = 1;
                /// No such algorithm, or one that cannot do what is asked of it.
                pub const ERROR_BAD_ALGORITHM: i32 = 2;
                /// The version is negative.
                pub const ERROR_BAD_VERSION: i32 = 3;
                /// More bytes than are allowed, or a size that keys cannot have.
                pub const ERROR_BAD_SIZE: i32 = 4;
                /// The sealed bytes were not made by this key with this additional data, or were changed.
                pub const ERROR_CANNOT_OPEN: i32 = 5;
            }

            /// Which key: all of it takes part in the key's derivation.
            #[derive(Clone, Debug, PartialEq)]
            pub struct KeySpec {
                /// 1 to 128 characters from "!" to "~" of ASCII.
                pub alias: _aidl::lib::String,
                pub algorithm: Algorithm,
                /// From 0; the next one is a new key under the same alias.
                pub version: i32,
            }

            impl Default for KeySpec {
                fn default() -> Self {
                    Self {
                        alias: Default::default(),
                        algorithm: Default::default(),
                        version: 0,
                    }
                }
            }

            impl _aidl::Structure for KeySpec {
                const DESCRIPTOR: &'static str = "dev.microbuild.keystore.KeySpec";

                fn encode_fields(&self, _aidl_out: &mut _aidl::Encoder) -> _aidl::ParcelResult<()> {
                    _aidl_out.sized(|_aidl_out| {
                        _aidl_out.write(&self.alias)?;
                        _aidl_out.write(&self.algorithm)?;
                        _aidl_out.write(&self.version)?;
                        Ok(())
                    })
                }

                fn decode_fields(_aidl_input: &mut _aidl::Decoder<'_>) -> _aidl::ParcelResult<Self> {
                    let mut _aidl_value = Self::default();
                    let _aidl_end = _aidl_input.begin_sized()?;
                    if _aidl_input.has_more(&_aidl_end) {
                        _aidl_value.alias = _aidl_input.read()?;
                    }
                    if _aidl_input.has_more(&_aidl_end) {
                        _aidl_value.algorithm = _aidl_input.read()?;
                    }
                    if _aidl_input.has_more(&_aidl_end) {
                        _aidl_value.version = _aidl_input.read()?;
                    }
                    _aidl_input.end_sized(_aidl_end)?;
                    Ok(_aidl_value)
                }
            }
        }

        pub mod recipes {
            pub mod keystore {
                use ::vm_payload::aidl as _aidl;

                /// What the payload serves on vsock port 5678. Keys belong to the instance: each boot of it has the same.
                pub trait IKeystore: Send + Sync + 'static {
                    /// A secret of 32 bytes for this purpose, for those who may have it.
                    fn derive(&self, purpose: &str) -> _aidl::Result<_aidl::lib::Vec<u8>>;
                    /// DER SubjectPublicKeyInfo of the key that signs, Ed25519.
                    fn publicKey(&self) -> _aidl::Result<_aidl::lib::Vec<u8>>;
                    fn sign(&self, message: &[u8]) -> _aidl::Result<_aidl::lib::Vec<u8>>;
                    fn verify(&self, message: &[u8], signature: &[u8]) -> _aidl::Result<bool>;
                    /// Signs a text and verifies the signature: throws EX_ILLEGAL_STATE if that fails, and gives it in hexadecimal.
                    fn prove(&self, text: &str) -> _aidl::Result<_aidl::lib::String>;
                }

                /// Serves an implementation of [`IKeystore`].
                pub struct BnKeystore<T>(pub T);

                impl<T: IKeystore> _aidl::Service for BnKeystore<T> {
                    fn descriptor(&self) -> &str {
                        BpKeystore::DESCRIPTOR
                    }

                    fn on_transact(&self, _aidl_code: u32, _aidl_input: &mut _aidl::Decoder<'_>) -> _aidl::Result<_aidl::Encoder> {
                        let mut _aidl_reply = _aidl::Encoder::reply();
                        match _aidl_code {
                            // byte[] derive(String purpose)
                            1 => {
                                let purpose: _aidl::lib::String = _aidl_input.read()?;
                                let _aidl_result = self.0.derive(&purpose)?;
                                _aidl_reply.write(&_aidl_result)?;
                            }
                            // byte[] publicKey()
                            2 => {
                                let _aidl_result = self.0.publicKey()?;
                                _aidl_reply.write(&_aidl_result)?;
                            }
                            // byte[] sign(byte[] message)
                            3 => {
                                let message: _aidl::lib::Vec<u8> = _aidl_input.read()?;
                                let _aidl_result = self.0.sign(&message)?;
                                _aidl_reply.write(&_aidl_result)?;
                            }
                            // boolean verify(byte[] message, byte[] signature)
                            4 => {
                                let message: _aidl::lib::Vec<u8> = _aidl_input.read()?;
                                let signature: _aidl::lib::Vec<u8> = _aidl_input.read()?;
                                let _aidl_result = self.0.verify(&message, &signature)?;
                                _aidl_reply.write(&_aidl_result)?;
                            }
                            // String prove(String text)
                            5 => {
                                let text: _aidl::lib::String = _aidl_input.read()?;
                                let _aidl_result = self.0.prove(&text)?;
                                _aidl_reply.write(&_aidl_result)?;
                            }
                            _ => return Err(_aidl::StatusCode::UNKNOWN_TRANSACTION.into()),
                        }
                        Ok(_aidl_reply)
                    }
                }

                _aidl::aidl_proxy! {
                    /// Calls an object that serves [`IKeystore`].
                    BpKeystore
                }

                impl BpKeystore {
                    pub const DESCRIPTOR: &'static str = "dev.microbuild.recipes.keystore.IKeystore";

                    pub fn getInterfaceVersion(&self) -> _aidl::Result<i32> {
                        let _aidl_reply = self.0.call(Self::DESCRIPTOR, _aidl::GET_INTERFACE_VERSION, |_| Ok(()))?;
                        Ok(_aidl_reply.results()?.read()?)
                    }

                    pub fn getInterfaceHash(&self) -> _aidl::Result<_aidl::lib::String> {
                        let _aidl_reply = self.0.call(Self::DESCRIPTOR, _aidl::GET_INTERFACE_HASH, |_| Ok(()))?;
                        Ok(_aidl_reply.results()?.read()?)
                    }
                }

                impl IKeystore for BpKeystore {
                    fn derive(&self, purpose: &str) -> _aidl::Result<_aidl::lib::Vec<u8>> {
                        let _aidl_reply = self.0.call(Self::DESCRIPTOR, 1, |_aidl_out| {
                            _aidl_out.write_str(purpose);
                            Ok(())
                        })?;
                        let mut _aidl_input = _aidl_reply.results()?;
                        let _aidl_result = _aidl_input.read()?;
                        Ok(_aidl_result)
                    }

                    fn publicKey(&self) -> _aidl::Result<_aidl::lib::Vec<u8>> {
                        let _aidl_reply = self.0.call(Self::DESCRIPTOR, 2, |_aidl_out| {
                            Ok(())
                        })?;
                        let mut _aidl_input = _aidl_reply.results()?;
                        let _aidl_result = _aidl_input.read()?;
                        Ok(_aidl_result)
                    }

                    fn sign(&self, message: &[u8]) -> _aidl::Result<_aidl::lib::Vec<u8>> {
                        let _aidl_reply = self.0.call(Self::DESCRIPTOR, 3, |_aidl_out| {
                            _aidl_out.write_slice(message)?;
                            Ok(())
                        })?;
                        let mut _aidl_input = _aidl_reply.results()?;
                        let _aidl_result = _aidl_input.read()?;
                        Ok(_aidl_result)
                    }

                    fn verify(&self, message: &[u8], signature: &[u8]) -> _aidl::Result<bool> {
                        let _aidl_reply = self.0.call(Self::DESCRIPTOR, 4, |_aidl_out| {
                            _aidl_out.write_slice(message)?;
                            _aidl_out.write_slice(signature)?;
                            Ok(())
                        })?;
                        let mut _aidl_input = _aidl_reply.results()?;
                        let _aidl_result = _aidl_input.read()?;
                        Ok(_aidl_result)
                    }

                    fn prove(&self, text: &str) -> _aidl::Result<_aidl::lib::String> {
                        let _aidl_reply = self.0.call(Self::DESCRIPTOR, 5, |_aidl_out| {
                            _aidl_out.write_str(text);
                            Ok(())
                        })?;
                        let mut _aidl_input = _aidl_reply.results()?;
                        let _aidl_result = _aidl_input.read()?;
                        Ok(_aidl_result)
                    }
                }
            }
        }
    }
}
