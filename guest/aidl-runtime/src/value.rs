//! How each type of AIDL stands in a parcel.

use crate::decoder::Decoder;
use crate::encoder::Encoder;
use crate::ParcelResult;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use microbuild_rpc::StatusCode;

/// A value that can be an argument, a result, a field or an element.
pub trait Value: Sized {
    /// The least bytes of an element, by which a stated length is checked before memory is reserved for it.
    const MIN_SIZE: usize = 4;

    /// # Errors
    /// `UNEXPECTED_NULL` for a value that lacks an object which has to be there.
    fn encode(&self, out: &mut Encoder) -> ParcelResult<()>;

    /// # Errors
    /// As [`Decoder::read`].
    fn decode(input: &mut Decoder<'_>) -> ParcelResult<Self>;

    /// An array: its length, then its elements.
    ///
    /// # Errors
    /// As [`Self::encode`].
    fn encode_slice(values: &[Self], out: &mut Encoder) -> ParcelResult<()> {
        out.parcel().write_length(values.len());
        values.iter().try_for_each(|value| value.encode(out))
    }

    /// # Errors
    /// As [`Self::decode`].
    fn decode_vec(input: &mut Decoder<'_>) -> ParcelResult<Option<Vec<Self>>> {
        let Some(length) = input.reader().read_length(Self::MIN_SIZE)? else {
            return Ok(None);
        };
        (0..length)
            .map(|_| Self::decode(input))
            .collect::<ParcelResult<Vec<_>>>()
            .map(Some)
    }
}

/// A value for which null can stand.
pub trait Nullable: Value {
    fn encode_null(out: &mut Encoder);

    /// # Errors
    /// As [`Decoder::read`], but for the null.
    fn decode_nullable(input: &mut Decoder<'_>) -> ParcelResult<Option<Self>>;
}

/// A parcelable or union: what generated code says of it.
pub trait Structure: Sized {
    /// The name of the type, with its package.
    const DESCRIPTOR: &'static str;

    /// # Errors
    /// As [`Value::encode`].
    fn encode_fields(&self, out: &mut Encoder) -> ParcelResult<()>;

    /// # Errors
    /// As [`Value::decode`].
    fn decode_fields(input: &mut Decoder<'_>) -> ParcelResult<Self>;
}

const PRESENT: i32 = 1;
const ABSENT: i32 = 0;

impl<T: Structure> Value for T {
    fn encode(&self, out: &mut Encoder) -> ParcelResult<()> {
        out.parcel().write_i32(PRESENT);
        self.encode_fields(out)
    }

    fn decode(input: &mut Decoder<'_>) -> ParcelResult<Self> {
        T::decode_nullable(input)?.ok_or(StatusCode::UNEXPECTED_NULL)
    }
}

impl<T: Structure> Nullable for T {
    fn encode_null(out: &mut Encoder) {
        out.parcel().write_i32(ABSENT);
    }

    fn decode_nullable(input: &mut Decoder<'_>) -> ParcelResult<Option<Self>> {
        if input.reader().read_i32()? == ABSENT {
            return Ok(None);
        }
        input.nested(T::decode_fields).map(Some)
    }
}

macro_rules! scalars {
    ($($type:ty, $size:literal, $write:ident, $read:ident;)*) => { $(
        impl Value for $type {
            const MIN_SIZE: usize = $size;

            fn encode(&self, out: &mut Encoder) -> ParcelResult<()> {
                out.parcel().$write(*self);
                Ok(())
            }

            fn decode(input: &mut Decoder<'_>) -> ParcelResult<Self> {
                input.reader().$read()
            }
        }
    )* };
}

scalars! {
    bool, 4, write_bool, read_bool;
    i8, 4, write_byte, read_byte;
    u16, 4, write_char, read_char;
    i32, 4, write_i32, read_i32;
    i64, 8, write_i64, read_i64;
    f32, 4, write_f32, read_f32;
    f64, 8, write_f64, read_f64;
}

/// An element of `byte[]`, which is packed. A single `byte` is an `i8`.
impl Value for u8 {
    const MIN_SIZE: usize = 1;

    fn encode(&self, out: &mut Encoder) -> ParcelResult<()> {
        out.parcel().write_byte(i8::from_le_bytes([*self]));
        Ok(())
    }

    fn decode(input: &mut Decoder<'_>) -> ParcelResult<Self> {
        input.reader().read_byte().map(|byte| byte.to_le_bytes()[0])
    }

    fn encode_slice(values: &[Self], out: &mut Encoder) -> ParcelResult<()> {
        out.parcel().write_bytes(values);
        Ok(())
    }

    fn decode_vec(input: &mut Decoder<'_>) -> ParcelResult<Option<Vec<Self>>> {
        Ok(input.reader().read_optional_bytes()?.map(<[u8]>::to_vec))
    }
}

impl Value for String {
    fn encode(&self, out: &mut Encoder) -> ParcelResult<()> {
        out.parcel().write_str(self);
        Ok(())
    }

    fn decode(input: &mut Decoder<'_>) -> ParcelResult<Self> {
        input.reader().read_string()
    }
}

impl Nullable for String {
    fn encode_null(out: &mut Encoder) {
        out.parcel().write_null();
    }

    fn decode_nullable(input: &mut Decoder<'_>) -> ParcelResult<Option<Self>> {
        input.reader().read_optional_string()
    }
}

impl<T: Value> Value for Vec<T> {
    fn encode(&self, out: &mut Encoder) -> ParcelResult<()> {
        T::encode_slice(self, out)
    }

    fn decode(input: &mut Decoder<'_>) -> ParcelResult<Self> {
        T::decode_vec(input)?.ok_or(StatusCode::UNEXPECTED_NULL)
    }
}

impl<T: Value> Nullable for Vec<T> {
    fn encode_null(out: &mut Encoder) {
        out.parcel().write_null();
    }

    fn decode_nullable(input: &mut Decoder<'_>) -> ParcelResult<Option<Self>> {
        T::decode_vec(input)
    }
}

/// An array `T[N]`; its length travels too, and has to be `N`.
impl<T: Value, const N: usize> Value for [T; N] {
    fn encode(&self, out: &mut Encoder) -> ParcelResult<()> {
        T::encode_slice(self, out)
    }

    fn decode(input: &mut Decoder<'_>) -> ParcelResult<Self> {
        Self::decode_nullable(input)?.ok_or(StatusCode::UNEXPECTED_NULL)
    }
}

impl<T: Value, const N: usize> Nullable for [T; N] {
    fn encode_null(out: &mut Encoder) {
        out.parcel().write_null();
    }

    fn decode_nullable(input: &mut Decoder<'_>) -> ParcelResult<Option<Self>> {
        let Some(values) = T::decode_vec(input)? else {
            return Ok(None);
        };
        values
            .try_into()
            .map(Some)
            .map_err(|_| StatusCode::BAD_VALUE)
    }
}

impl<T: Nullable> Value for Option<T> {
    fn encode(&self, out: &mut Encoder) -> ParcelResult<()> {
        out.write_nullable(self.as_ref())
    }

    fn decode(input: &mut Decoder<'_>) -> ParcelResult<Self> {
        T::decode_nullable(input)
    }
}

/// `@nullable(heap=true)`: what a type uses to hold itself.
impl<T: Structure> Structure for Box<T> {
    const DESCRIPTOR: &'static str = T::DESCRIPTOR;

    fn encode_fields(&self, out: &mut Encoder) -> ParcelResult<()> {
        (**self).encode_fields(out)
    }

    fn decode_fields(input: &mut Decoder<'_>) -> ParcelResult<Self> {
        T::decode_fields(input).map(Self::new)
    }
}
