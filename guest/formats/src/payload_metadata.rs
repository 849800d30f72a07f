//! The `payload-metadata` partition: what the payload disk holds and what to run.
//!
//! AOSP Virtualization, libmicrodroid_payload_metadata/metadata.proto: a big-endian u32 length, then a proto3 `Metadata`.
//! An unknown field is refused: it could only ask for something that this guest would silently not do.

use crate::error::{ErrorCode, FormatError};
use crate::reader::Reader;

const FORMAT: &str = "payload-metadata";
const VERSION: u64 = 1;
/// Of the message; two names and a path take some 100 bytes.
pub const METADATA_SIZE_MAX: usize = 64 * 1024;
const APEX_COUNT_MAX: usize = 64;

#[derive(Debug, PartialEq, Eq)]
pub struct Metadata {
    pub apexes: Vec<ApexPayload>,
    pub apk: ApkPayload,
    pub payload: Payload,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub struct ApexPayload {
    pub name: String,
    pub partition_name: String,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub struct ApkPayload {
    pub name: String,
    pub payload_partition_name: String,
    pub idsig_partition_name: String,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Payload {
    /// A path inside the guest, below `/mnt/apk/`.
    ConfigPath(String),
    Config {
        payload_binary_name: String,
        extra_apk_count: u32,
    },
}

/// Decodes a partition's bytes; what follows the message must be zeros.
///
/// # Errors
/// When the length, the wire format, the version or a required field is wrong.
pub fn decode_metadata(partition: &[u8]) -> Result<Metadata, FormatError> {
    let mut reader = Reader::new(FORMAT, partition);
    let size = reader.u32_be("length")?;
    if size as usize > METADATA_SIZE_MAX {
        return Err(reader.error(ErrorCode::TooLarge, "length"));
    }
    let message = Reader::at(FORMAT, reader.take_u64(size.into(), "Metadata")?, 4);
    let padding_error = reader.error(ErrorCode::Trailing, "Metadata");
    if reader.rest().iter().any(|byte| *byte != 0) {
        return Err(padding_error);
    }
    decode_message(message)
}

fn decode_message(mut message: Reader<'_>) -> Result<Metadata, FormatError> {
    let (mut version, mut apk, mut payload) = (None, None, None);
    let mut apexes = Vec::new();
    while !message.is_empty() {
        let field = Field::read(&mut message)?;
        match (field.number, &field.value) {
            (1, Value::Varint(value)) => set(&mut version, *value, &field)?,
            (2, Value::Bytes(bytes)) if apexes.len() < APEX_COUNT_MAX => {
                apexes.push(decode_apex(bytes.clone())?)
            }
            (3, Value::Bytes(bytes)) => set(&mut apk, decode_apk(bytes.clone())?, &field)?,
            (4, Value::Bytes(bytes)) => set(
                &mut payload,
                Payload::ConfigPath(text(bytes.clone(), "config_path")?),
                &field,
            )?,
            (5, Value::Bytes(bytes)) => set(&mut payload, decode_config(bytes.clone())?, &field)?,
            _ => return Err(field.unknown("Metadata")),
        }
    }
    if version != Some(VERSION) {
        return Err(FormatError::new(
            FORMAT,
            ErrorCode::Unsupported,
            "version",
            4,
        ));
    }
    let missing = |field| FormatError::new(FORMAT, ErrorCode::BadValue, field, 4);
    Ok(Metadata {
        apexes,
        apk: apk.ok_or_else(|| missing("apk"))?,
        payload: payload.ok_or_else(|| missing("payload"))?,
    })
}

fn decode_apex(mut message: Reader<'_>) -> Result<ApexPayload, FormatError> {
    let mut apex = ApexPayload::default();
    while !message.is_empty() {
        let field = Field::read(&mut message)?;
        match (field.number, &field.value) {
            (1, Value::Bytes(bytes)) => apex.name = text(bytes.clone(), "apex.name")?,
            (2, Value::Bytes(bytes)) => {
                apex.partition_name = text(bytes.clone(), "apex.partition_name")?
            }
            (3 | 4 | 8, Value::Bytes(_)) | (5..=7, Value::Varint(_)) => {}
            _ => return Err(field.unknown("ApexPayload")),
        }
    }
    Ok(apex)
}

fn decode_apk(mut message: Reader<'_>) -> Result<ApkPayload, FormatError> {
    let mut apk = ApkPayload::default();
    while !message.is_empty() {
        let field = Field::read(&mut message)?;
        match (field.number, &field.value) {
            (1, Value::Bytes(bytes)) => apk.name = text(bytes.clone(), "apk.name")?,
            (2, Value::Bytes(bytes)) => {
                apk.payload_partition_name = text(bytes.clone(), "apk.payload_partition_name")?
            }
            (3, Value::Bytes(bytes)) => {
                apk.idsig_partition_name = text(bytes.clone(), "apk.idsig_partition_name")?
            }
            _ => return Err(field.unknown("ApkPayload")),
        }
    }
    Ok(apk)
}

fn decode_config(mut message: Reader<'_>) -> Result<Payload, FormatError> {
    let (mut payload_binary_name, mut extra_apk_count) = (String::new(), 0);
    while !message.is_empty() {
        let field = Field::read(&mut message)?;
        match (field.number, &field.value) {
            (1, Value::Bytes(bytes)) => {
                payload_binary_name = text(bytes.clone(), "payload_binary_name")?
            }
            (2, Value::Varint(value)) => {
                extra_apk_count = u32::try_from(*value)
                    .map_err(|_| message.error(ErrorCode::BadValue, "extra_apk_count"))?;
            }
            _ => return Err(field.unknown("PayloadConfig")),
        }
    }
    Ok(Payload::Config {
        payload_binary_name,
        extra_apk_count,
    })
}

/// Protobuf lets the last of several win; a field that matters to trust occurs once.
fn set<T>(slot: &mut Option<T>, value: T, field: &Field<'_>) -> Result<(), FormatError> {
    if slot.replace(value).is_some() {
        return Err(FormatError::new(
            FORMAT,
            ErrorCode::Duplicate,
            "field",
            field.offset,
        ));
    }
    Ok(())
}

fn text(mut bytes: Reader<'_>, field: &'static str) -> Result<String, FormatError> {
    let error = bytes.error(ErrorCode::BadValue, field);
    String::from_utf8(bytes.rest().to_vec()).map_err(|_| error)
}

struct Field<'a> {
    number: u64,
    value: Value<'a>,
    offset: u64,
}

enum Value<'a> {
    Varint(u64),
    Bytes(Reader<'a>),
}

impl<'a> Field<'a> {
    fn read(message: &mut Reader<'a>) -> Result<Self, FormatError> {
        let offset = message.offset();
        let key = read_varint(message)?;
        let value = match key & 7 {
            0 => Value::Varint(read_varint(message)?),
            2 => {
                let size = read_varint(message)?;
                let base = message.offset();
                Value::Bytes(Reader::at(FORMAT, message.take_u64(size, "field")?, base))
            }
            _ => {
                return Err(FormatError::new(
                    FORMAT,
                    ErrorCode::Unsupported,
                    "wire type",
                    offset,
                ))
            }
        };
        Ok(Self {
            number: key >> 3,
            value,
            offset,
        })
    }

    fn unknown(&self, message: &'static str) -> FormatError {
        FormatError::new(FORMAT, ErrorCode::Unsupported, message, self.offset)
    }
}

fn read_varint(message: &mut Reader<'_>) -> Result<u64, FormatError> {
    let start = message.offset();
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = message.u8("varint")?;
        let bits = u64::from(byte & 0x7f);
        if bits << shift >> shift != bits {
            break;
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(FormatError::new(
        FORMAT,
        ErrorCode::BadValue,
        "varint",
        start,
    ))
}
