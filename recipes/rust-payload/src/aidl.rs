// Made by `microbuild aidl rust`: change the .aidl files, not this.

#[allow(clippy::all, clippy::pedantic, dead_code, non_camel_case_types, non_snake_case, non_upper_case_globals, unused_imports, unused_mut, unused_variables)]
pub mod dev {
    pub mod microbuild {
        pub mod recipes {
            pub mod rust {
                use ::vm_payload::aidl as _aidl;

                /// What the payload serves on vsock port 5678.
                pub trait IRustPayload: Send + Sync + 'static {
                    fn add(&self, left: i32, right: i32) -> _aidl::Result<i32>;
                    /// A greeting. Throws EX_ILLEGAL_ARGUMENT for an empty name.
                    fn greet(&self, name: &str) -> _aidl::Result<_aidl::lib::String>;
                }

                /// Serves an implementation of [`IRustPayload`].
                pub struct BnRustPayload<T>(pub T);

                impl<T: IRustPayload> _aidl::Service for BnRustPayload<T> {
                    fn descriptor(&self) -> &str {
                        BpRustPayload::DESCRIPTOR
                    }

                    fn on_transact(&self, _aidl_code: u32, _aidl_input: &mut _aidl::Decoder<'_>) -> _aidl::Result<_aidl::Encoder> {
                        let mut _aidl_reply = _aidl::Encoder::reply();
                        match _aidl_code {
                            // int add(int left, int right)
                            1 => {
                                let left: i32 = _aidl_input.read()?;
                                let right: i32 = _aidl_input.read()?;
                                let _aidl_result = self.0.add(left, right)?;
                                _aidl_reply.write(&_aidl_result)?;
                            }
                            // String greet(String name)
                            2 => {
                                let name: _aidl::lib::String = _aidl_input.read()?;
                                let _aidl_result = self.0.greet(&name)?;
                                _aidl_reply.write(&_aidl_result)?;
                            }
                            _ => return Err(_aidl::StatusCode::UNKNOWN_TRANSACTION.into()),
                        }
                        Ok(_aidl_reply)
                    }
                }

                _aidl::aidl_proxy! {
                    /// Calls an object that serves [`IRustPayload`].
                    BpRustPayload
                }

                impl BpRustPayload {
                    pub const DESCRIPTOR: &'static str = "dev.microbuild.recipes.rust.IRustPayload";

                    pub fn getInterfaceVersion(&self) -> _aidl::Result<i32> {
                        let _aidl_reply = self.0.call(Self::DESCRIPTOR, _aidl::GET_INTERFACE_VERSION, |_| Ok(()))?;
                        Ok(_aidl_reply.results()?.read()?)
                    }

                    pub fn getInterfaceHash(&self) -> _aidl::Result<_aidl::lib::String> {
                        let _aidl_reply = self.0.call(Self::DESCRIPTOR, _aidl::GET_INTERFACE_HASH, |_| Ok(()))?;
                        Ok(_aidl_reply.results()?.read()?)
                    }
                }

                impl IRustPayload for BpRustPayload {
                    fn add(&self, left: i32, right: i32) -> _aidl::Result<i32> {
                        let _aidl_reply = self.0.call(Self::DESCRIPTOR, 1, |_aidl_out| {
                            _aidl_out.write(&left)?;
                            _aidl_out.write(&right)?;
                            Ok(())
                        })?;
                        let mut _aidl_input = _aidl_reply.results()?;
                        let _aidl_result = _aidl_input.read()?;
                        Ok(_aidl_result)
                    }

                    fn greet(&self, name: &str) -> _aidl::Result<_aidl::lib::String> {
                        let _aidl_reply = self.0.call(Self::DESCRIPTOR, 2, |_aidl_out| {
                            _aidl_out.write_str(name);
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
