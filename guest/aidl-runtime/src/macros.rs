//! What generated code has in common, written once.

/// An enum: a number that has names. Numbers without one are kept, as a newer peer knows more of them.
#[macro_export]
macro_rules! aidl_enum {
    ($(#[$doc:meta])* $name:ident : $backing:ident { $($(#[$value_doc:meta])* $constant:ident = $value:expr,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $backing);

        #[allow(non_upper_case_globals, dead_code)]
        impl $name {
            $($(#[$value_doc])* pub const $constant: Self = Self($value);)*

            /// All that have a name, in their order.
            pub const fn enum_values() -> &'static [Self] {
                &[$(Self::$constant,)*]
            }
        }

        $crate::aidl_enum!(@value $name, $backing);
    };
    (@value $name:ident, i8) => {
        impl $crate::Value for $name {
            fn encode(&self, out: &mut $crate::Encoder) -> $crate::ParcelResult<()> {
                $crate::Value::encode(&self.0, out)
            }
            fn decode(input: &mut $crate::Decoder<'_>) -> $crate::ParcelResult<Self> {
                $crate::Value::decode(input).map(Self)
            }
            // Arrays of it are packed, as byte[] is.
            fn encode_slice(values: &[Self], out: &mut $crate::Encoder) -> $crate::ParcelResult<()> {
                let bytes: $crate::lib::Vec<u8> =
                    values.iter().map(|value| value.0.to_le_bytes()[0]).collect();
                $crate::Value::encode(&bytes, out)
            }
            fn decode_vec(
                input: &mut $crate::Decoder<'_>,
            ) -> $crate::ParcelResult<Option<$crate::lib::Vec<Self>>> {
                let bytes = <u8 as $crate::Value>::decode_vec(input)?;
                Ok(bytes.map(|bytes| {
                    bytes.into_iter().map(|byte| Self(i8::from_le_bytes([byte]))).collect()
                }))
            }
        }
    };
    (@value $name:ident, $backing:ident) => {
        impl $crate::Value for $name {
            const MIN_SIZE: usize = <$backing as $crate::Value>::MIN_SIZE;

            fn encode(&self, out: &mut $crate::Encoder) -> $crate::ParcelResult<()> {
                $crate::Value::encode(&self.0, out)
            }
            fn decode(input: &mut $crate::Decoder<'_>) -> $crate::ParcelResult<Self> {
                $crate::Value::decode(input).map(Self)
            }
        }
    };
}

/// A proxy: the type that stands for an interface in arguments, results and fields.
#[macro_export]
macro_rules! aidl_proxy {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name(pub $crate::Binder);

        impl From<$crate::Binder> for $name {
            fn from(binder: $crate::Binder) -> Self {
                Self(binder)
            }
        }

        impl $crate::Value for $name {
            fn encode(&self, out: &mut $crate::Encoder) -> $crate::ParcelResult<()> {
                $crate::Value::encode(&self.0, out)
            }
            fn decode(input: &mut $crate::Decoder<'_>) -> $crate::ParcelResult<Self> {
                $crate::Value::decode(input).map(Self)
            }
        }

        impl $crate::Nullable for $name {
            fn encode_null(out: &mut $crate::Encoder) {
                <$crate::Binder as $crate::Nullable>::encode_null(out);
            }
            fn decode_nullable(input: &mut $crate::Decoder<'_>) -> $crate::ParcelResult<Option<Self>> {
                Ok(<$crate::Binder as $crate::Nullable>::decode_nullable(input)?.map(Self))
            }
        }
    };
}
