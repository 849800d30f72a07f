//! `AndroidManifest.xml` in its binary form, as far as a measurement needs it: which package, which version.
//!
//! AOSP frameworks/base libs/androidfw/include/androidfw/ResourceTypes.h; Virtualization libs/apkmanifest, whose reading this
//! is, less every file that another reader of Android's could read differently. No string is decoded but the package's name:
//! the others are compared where they lie, so that no file can ask for more work than it has bytes.

use crate::error::{ErrorCode, FormatError};
use crate::reader::Reader;

const FORMAT: &str = "android_manifest";

/// The largest manifests of real apps are below 1 MiB.
pub const MANIFEST_SIZE_MAX: usize = 4 * 1024 * 1024;
const DEPTH_MAX: u32 = 64;
/// As Android's package manager.
const PACKAGE_NAME_SIZE_MAX: usize = 223;

const RES_STRING_POOL_TYPE: u16 = 0x0001;
const RES_XML_TYPE: u16 = 0x0003;
const RES_XML_START_ELEMENT_TYPE: u16 = 0x0102;
const RES_XML_END_ELEMENT_TYPE: u16 = 0x0103;
const RES_XML_RESOURCE_MAP_TYPE: u16 = 0x0180;

const CHUNK_HEADER_SIZE: usize = 8;
const STRING_POOL_HEADER_SIZE: usize = CHUNK_HEADER_SIZE + 20;
const NODE_HEADER_SIZE: usize = CHUNK_HEADER_SIZE + 8;
const ATTRIBUTE_SIZE: usize = 20;
const STRING_POOL_UTF8: u32 = 1 << 8;
/// A string index that names no string.
const NO_STRING: u32 = u32::MAX;

const TYPE_STRING: u8 = 0x03;
const TYPE_INT_DEC: u8 = 0x10;
const TYPE_INT_HEX: u8 = 0x11;

const ANDROID_NAMESPACE: &str = "http://schemas.android.com/apk/res/android";
/// frameworks/base core/res/res/values/public-final.xml: fixed forever.
const VERSION_CODE_ID: u32 = 0x0101_021b;
const VERSION_CODE_MAJOR_ID: u32 = 0x0101_0576;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Such as `dev.microbuild.hello`.
    pub package: String,
    /// `versionCodeMajor` in the upper half, `versionCode` in the lower; zero where absent.
    pub version_code: u64,
}

/// Decodes a whole file.
///
/// # Errors
/// When it is no binary XML, its root is no `manifest`, or what it says of package and version can be read in two ways.
pub fn decode_manifest(bytes: &[u8]) -> Result<Manifest, FormatError> {
    let fail = |code, field| FormatError::new(FORMAT, code, field, 0);
    if bytes.len() > MANIFEST_SIZE_MAX {
        return Err(fail(ErrorCode::TooLarge, "file"));
    }
    let mut file = Reader::new(FORMAT, bytes);
    let outer = Chunk::read(&mut file)?;
    file.finish("file")?;
    if outer.kind != RES_XML_TYPE {
        return Err(fail(ErrorCode::BadMagic, "file"));
    }
    let mut document = Document::default();
    let mut chunks = outer.body;
    while !chunks.is_empty() {
        document.add(Chunk::read(&mut chunks)?)?;
    }
    // Otherwise the root does not end, or there is none.
    let is_whole = document.depth == 0;
    document
        .manifest
        .filter(|_| is_whole)
        .ok_or_else(|| chunks.error(ErrorCode::Truncated, "root element"))
}

/// `ResChunk_header` and what it is the header of.
struct Chunk<'a> {
    kind: u16,
    /// What belongs to the header beyond the eight bytes that all have.
    header: Reader<'a>,
    body: Reader<'a>,
    whole: &'a [u8],
    offset: u64,
}

impl<'a> Chunk<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, FormatError> {
        let offset = reader.offset();
        let mut fields = reader.clone();
        let kind = fields.u16_le("chunk.type")?;
        let header_size = usize::from(fields.u16_le("chunk.headerSize")?);
        let size = fields.u32_le("chunk.size")?;
        let whole = reader.take_u64(size.into(), "chunk")?;
        let mut chunk = Reader::at(FORMAT, whole, offset);
        chunk.take(CHUNK_HEADER_SIZE, "chunk")?;
        let rest = header_size.checked_sub(CHUNK_HEADER_SIZE).ok_or_else(|| {
            FormatError::new(FORMAT, ErrorCode::BadValue, "chunk.headerSize", offset)
        })?;
        let header_offset = chunk.offset();
        let header = Reader::at(FORMAT, chunk.take(rest, "chunk.headerSize")?, header_offset);
        Ok(Self {
            kind,
            header,
            body: chunk,
            whole,
            offset,
        })
    }

    fn fail(&self, code: ErrorCode, field: &'static str) -> FormatError {
        FormatError::new(FORMAT, code, field, self.offset)
    }
}

/// What the chunks so far have said.
#[derive(Default)]
struct Document<'a> {
    strings: Option<StringPool<'a>>,
    resource_ids: Option<&'a [u8]>,
    manifest: Option<Manifest>,
    depth: u32,
}

impl<'a> Document<'a> {
    fn add(&mut self, chunk: Chunk<'a>) -> Result<(), FormatError> {
        let is_in_front = self.manifest.is_none();
        match chunk.kind {
            RES_STRING_POOL_TYPE if self.strings.is_none() && is_in_front => {
                self.strings = Some(StringPool::decode(chunk)?);
            }
            RES_XML_RESOURCE_MAP_TYPE if self.resource_ids.is_none() && is_in_front => {
                self.resource_ids = Some(chunk.body.clone().rest());
            }
            // Readers differ in whether a second one counts, or one behind the first element.
            RES_STRING_POOL_TYPE => return Err(chunk.fail(ErrorCode::Duplicate, "string pool")),
            RES_XML_RESOURCE_MAP_TYPE => {
                return Err(chunk.fail(ErrorCode::Duplicate, "resource map"))
            }
            RES_XML_START_ELEMENT_TYPE => {
                if self.depth == 0 {
                    if self.manifest.is_some() {
                        return Err(chunk.fail(ErrorCode::Duplicate, "root element"));
                    }
                    self.manifest = Some(self.decode_root(chunk)?);
                } else if self.depth == DEPTH_MAX {
                    return Err(chunk.fail(ErrorCode::TooLarge, "depth"));
                }
                self.depth += 1;
            }
            RES_XML_END_ELEMENT_TYPE => {
                self.depth = self
                    .depth
                    .checked_sub(1)
                    .ok_or_else(|| chunk.fail(ErrorCode::BadValue, "end element"))?;
            }
            // Namespaces and text say nothing that is looked for; a kind that nobody knows is passed over by everybody.
            _ => {}
        }
        Ok(())
    }

    fn decode_root(&self, mut chunk: Chunk<'a>) -> Result<Manifest, FormatError> {
        let strings = self
            .strings
            .as_ref()
            .ok_or_else(|| chunk.fail(ErrorCode::BadValue, "string pool"))?;
        if chunk.header.remaining() < NODE_HEADER_SIZE - CHUNK_HEADER_SIZE {
            return Err(chunk.fail(ErrorCode::BadValue, "chunk.headerSize"));
        }
        let mut extension = chunk.body.clone();
        let namespace = extension.u32_le("element.ns")?;
        let name = extension.u32_le("element.name")?;
        if namespace != NO_STRING || !strings.is(name, "manifest")? {
            return Err(chunk.fail(ErrorCode::BadValue, "root element"));
        }
        let start = usize::from(extension.u16_le("element.attributeStart")?);
        let stride = usize::from(extension.u16_le("element.attributeSize")?);
        let count = usize::from(extension.u16_le("element.attributeCount")?);
        if count > 0 && stride < ATTRIBUTE_SIZE {
            return Err(chunk.fail(ErrorCode::BadValue, "element.attributeSize"));
        }
        chunk.body.take(start, "element.attributeStart")?;
        let mut found = Found::default();
        for _ in 0..count {
            let offset = chunk.body.offset();
            let raw = chunk.body.take(stride, "attribute")?;
            let attribute = Attribute::decode(Reader::at(FORMAT, raw, offset))?;
            found.add(&attribute, strings, self.resource_id(attribute.name))?;
        }
        let package = found
            .package
            .ok_or_else(|| chunk.fail(ErrorCode::BadValue, "package"))?;
        let [major, minor] = [found.version_code_major, found.version_code]
            .map(|version| u64::from(version.unwrap_or(0)));
        Ok(Manifest {
            package,
            version_code: major << 32 | minor,
        })
    }

    /// The resource map runs in parallel to the first strings of the pool.
    fn resource_id(&self, name: u32) -> Option<u32> {
        let start = usize::try_from(name).ok()?.checked_mul(4)?;
        let raw = self.resource_ids?.get(start..start.checked_add(4)?)?;
        raw.try_into().ok().map(u32::from_le_bytes)
    }
}

/// `ResXMLTree_attribute`.
struct Attribute {
    namespace: u32,
    name: u32,
    raw_value: u32,
    data_type: u8,
    data: u32,
    offset: u64,
}

impl Attribute {
    fn decode(mut reader: Reader<'_>) -> Result<Self, FormatError> {
        let offset = reader.offset();
        let namespace = reader.u32_le("attribute.ns")?;
        let name = reader.u32_le("attribute.name")?;
        let raw_value = reader.u32_le("attribute.rawValue")?;
        reader.u16_le("attribute.typedValue.size")?;
        reader.u8("attribute.typedValue.res0")?;
        Ok(Self {
            namespace,
            name,
            raw_value,
            data_type: reader.u8("attribute.typedValue.dataType")?,
            data: reader.u32_le("attribute.typedValue.data")?,
            offset,
        })
    }

    fn fail(&self, code: ErrorCode, field: &'static str) -> FormatError {
        FormatError::new(FORMAT, code, field, self.offset)
    }

    /// The text of a string: some readers take the raw value and some the typed one, so they must be one.
    fn text(&self, strings: &StringPool<'_>, field: &'static str) -> Result<String, FormatError> {
        let is_string = self.data_type == TYPE_STRING;
        if !is_string || (self.raw_value != NO_STRING && self.raw_value != self.data) {
            return Err(self.fail(ErrorCode::BadValue, field));
        }
        strings.ascii(self.data, field)
    }

    /// A number, or a string of one in decimal, octal (`0`) or hexadecimal (`0x`), as strtoul(3) reads it with base 0.
    fn number(&self, strings: &StringPool<'_>, field: &'static str) -> Result<u32, FormatError> {
        if matches!(self.data_type, TYPE_INT_DEC | TYPE_INT_HEX) {
            return Ok(self.data);
        }
        let text = self.text(strings, field)?;
        let lower = text.to_ascii_lowercase();
        let (digits, radix) = match (lower.strip_prefix("0x"), lower.strip_prefix('0')) {
            (Some(digits), _) => (digits, 16),
            (None, Some(digits)) if !digits.is_empty() => (digits, 8),
            _ => (lower.as_str(), 10),
        };
        if !digits.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(self.fail(ErrorCode::BadValue, field));
        }
        u32::from_str_radix(digits, radix).map_err(|_| self.fail(ErrorCode::BadValue, field))
    }
}

/// The attributes looked for.
#[derive(Default)]
struct Found {
    package: Option<String>,
    version_code: Option<u32>,
    version_code_major: Option<u32>,
}

impl Found {
    fn add(
        &mut self,
        attribute: &Attribute,
        strings: &StringPool<'_>,
        id: Option<u32>,
    ) -> Result<(), FormatError> {
        let is_android = attribute.namespace != NO_STRING
            && strings.is(attribute.namespace, ANDROID_NAMESPACE)?;
        if attribute.namespace == NO_STRING && strings.is(attribute.name, "package")? {
            let text = attribute.text(strings, "package")?;
            if !is_package_name(&text) {
                return Err(attribute.fail(ErrorCode::BadValue, "package"));
            }
            return set(&mut self.package, text, attribute, "package");
        }
        for (slot, name, known_id) in [
            (&mut self.version_code, "versionCode", VERSION_CODE_ID),
            (
                &mut self.version_code_major,
                "versionCodeMajor",
                VERSION_CODE_MAJOR_ID,
            ),
        ] {
            // The package manager goes by the id, the measurement by the name: an attribute is one to both or to neither.
            let (by_name, by_id) = (
                is_android && strings.is(attribute.name, name)?,
                id == Some(known_id),
            );
            if by_name != by_id && (by_id || id.is_some()) {
                return Err(attribute.fail(ErrorCode::BadValue, name));
            }
            if by_name {
                return set(slot, attribute.number(strings, name)?, attribute, name);
            }
        }
        Ok(())
    }
}

fn set<T>(
    slot: &mut Option<T>,
    value: T,
    attribute: &Attribute,
    field: &'static str,
) -> Result<(), FormatError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(attribute.fail(ErrorCode::Duplicate, field)),
    }
}

/// What Android takes as one, and a log prints without harm.
fn is_package_name(name: &str) -> bool {
    let is_segment = |segment: &str| {
        segment.starts_with(|first: char| first.is_ascii_alphabetic())
            && segment
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    name.len() <= PACKAGE_NAME_SIZE_MAX && name.split('.').all(is_segment)
}

/// `ResStringPool_header` and its strings, found by index.
struct StringPool<'a> {
    chunk: Reader<'a>,
    /// Offsets of the strings, four bytes each.
    index: &'a [u8],
    /// From the start of the chunk.
    strings_start: usize,
    is_utf8: bool,
}

/// The bytes of one string.
enum Text<'a> {
    Utf8(&'a [u8]),
    Utf16(&'a [u8]),
}

impl Text<'_> {
    /// In bytes of ASCII, if it is that.
    fn len(&self) -> usize {
        match self {
            Self::Utf8(bytes) => bytes.len(),
            Self::Utf16(bytes) => bytes.len() / 2,
        }
    }

    /// The units; only for a text whose length has been looked at.
    fn ascii(&self) -> Option<String> {
        let byte = |unit: u16| u8::try_from(unit).ok().filter(u8::is_ascii).map(char::from);
        match self {
            Self::Utf8(bytes) => bytes.iter().map(|unit| byte((*unit).into())).collect(),
            Self::Utf16(bytes) => bytes
                .chunks_exact(2)
                .map(|unit| byte(u16::from_le_bytes([*unit.first()?, *unit.last()?])))
                .collect(),
        }
    }
}

impl<'a> StringPool<'a> {
    fn decode(chunk: Chunk<'a>) -> Result<Self, FormatError> {
        let mut header = chunk.header.clone();
        if header.remaining() < STRING_POOL_HEADER_SIZE - CHUNK_HEADER_SIZE {
            return Err(chunk.fail(ErrorCode::BadValue, "string pool.headerSize"));
        }
        let count = header.u32_le("string pool.stringCount")?;
        header.u32_le("string pool.styleCount")?;
        let flags = header.u32_le("string pool.flags")?;
        let strings_start = header.u32_le("string pool.stringsStart")?;
        let index_size = u64::from(count) * 4;
        let index = chunk
            .body
            .clone()
            .take_u64(index_size, "string pool.stringCount")?;
        Ok(Self {
            index,
            strings_start: usize::try_from(strings_start)
                .map_err(|_| chunk.fail(ErrorCode::Truncated, "string pool.stringsStart"))?,
            is_utf8: flags & STRING_POOL_UTF8 != 0,
            chunk: Reader::at(FORMAT, chunk.whole, chunk.offset),
        })
    }

    fn find(&self, index: u32) -> Result<Text<'a>, FormatError> {
        let missing = || self.chunk.error(ErrorCode::BadValue, "string index");
        let at = usize::try_from(index)
            .ok()
            .and_then(|index| index.checked_mul(4))
            .ok_or_else(missing)?;
        let raw = at.checked_add(4).and_then(|end| self.index.get(at..end));
        let offset = u32::from_le_bytes(
            raw.and_then(|raw| raw.try_into().ok())
                .ok_or_else(missing)?,
        );
        let mut reader = self.chunk.clone();
        reader.take(self.strings_start, "string pool.stringsStart")?;
        reader.take_u64(offset.into(), "string")?;
        if self.is_utf8 {
            // In UTF-16 units, which nobody needs, and then in bytes.
            read_length_utf8(&mut reader)?;
            let size = read_length_utf8(&mut reader)?;
            Ok(Text::Utf8(reader.take(size, "string")?))
        } else {
            let size = read_length_utf16(&mut reader)?;
            Ok(Text::Utf16(reader.take(2 * size, "string")?))
        }
    }

    /// Whether string `index` is this ASCII text. Costs no more than the text is long.
    fn is(&self, index: u32, text: &str) -> Result<bool, FormatError> {
        let found = self.find(index)?;
        Ok(found.len() == text.len() && found.ascii().as_deref() == Some(text))
    }

    /// A short string of ASCII.
    fn ascii(&self, index: u32, field: &'static str) -> Result<String, FormatError> {
        let found = self.find(index)?;
        if found.len() > PACKAGE_NAME_SIZE_MAX {
            return Err(self.chunk.error(ErrorCode::TooLarge, field));
        }
        found
            .ascii()
            .ok_or_else(|| self.chunk.error(ErrorCode::BadValue, field))
    }
}

/// One byte, or two when the top bit of the first is set.
fn read_length_utf8(reader: &mut Reader<'_>) -> Result<usize, FormatError> {
    let first = usize::from(reader.u8("string length")?);
    if first & 0x80 == 0 {
        return Ok(first);
    }
    Ok((first & 0x7f) << 8 | usize::from(reader.u8("string length")?))
}

/// One unit, or two when the top bit of the first is set.
fn read_length_utf16(reader: &mut Reader<'_>) -> Result<usize, FormatError> {
    let first = usize::from(reader.u16_le("string length")?);
    if first & 0x8000 == 0 {
        return Ok(first);
    }
    Ok((first & 0x7fff) << 16 | usize::from(reader.u16_le("string length")?))
}
