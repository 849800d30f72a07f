//! JSON as RFC 8259 defines it, for texts that fit in memory: no comments, no trailing commas, nothing behind the value.
//!
//! It refuses what serde_json refuses, with which Android reads its configuration files: deep nesting, lone surrogates,
//! control characters in strings.

use std::fmt;

/// As serde_json.
const DEPTH_MAX: usize = 127;

#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    Number(f64),
    String(String),
    Array(Vec<Value>),
    /// In the order of the text; a key may be there twice.
    Object(Vec<(String, Value)>),
}

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonError {
    pub what: &'static str,
    /// In bytes.
    pub offset: usize,
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.what, self.offset)
    }
}

impl std::error::Error for JsonError {}

/// Parses one value and the white space around it.
///
/// # Errors
/// When the bytes are not UTF-8 or not JSON.
pub fn parse(bytes: &[u8]) -> Result<Value, JsonError> {
    let text = std::str::from_utf8(bytes).map_err(|error| JsonError {
        what: "the text is not UTF-8",
        offset: error.valid_up_to(),
    })?;
    let mut parser = Parser { text, at: 0 };
    let value = parser.value(0)?;
    parser.skip_white_space();
    if parser.at < text.len() {
        return Err(parser.error("something follows the value"));
    }
    Ok(value)
}

struct Parser<'a> {
    text: &'a str,
    /// Always between characters.
    at: usize,
}

impl<'a> Parser<'a> {
    fn error(&self, what: &'static str) -> JsonError {
        JsonError {
            what,
            offset: self.at,
        }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, expected: &str) -> bool {
        let is_there = self.rest().starts_with(expected);
        if is_there {
            self.at += expected.len();
        }
        is_there
    }

    fn skip_white_space(&mut self) {
        let is_space = |c: char| matches!(c, ' ' | '\t' | '\n' | '\r');
        self.at = self.text.len() - self.rest().trim_start_matches(is_space).len();
    }

    fn value(&mut self, depth: usize) -> Result<Value, JsonError> {
        if depth >= DEPTH_MAX {
            return Err(self.error("values are nested too deeply"));
        }
        self.skip_white_space();
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => self.string().map(Value::String),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ if self.take("true") => Ok(Value::Bool(true)),
            _ if self.take("false") => Ok(Value::Bool(false)),
            _ if self.take("null") => Ok(Value::Null),
            _ => Err(self.error("a value is missing")),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value, JsonError> {
        let mut members = Vec::new();
        self.at += 1;
        self.skip_white_space();
        if self.take("}") {
            return Ok(Value::Object(members));
        }
        loop {
            self.skip_white_space();
            if self.peek() != Some(b'"') {
                return Err(self.error("a key is missing"));
            }
            let key = self.string()?;
            self.skip_white_space();
            if !self.take(":") {
                return Err(self.error("a colon is missing"));
            }
            members.push((key, self.value(depth + 1)?));
            self.skip_white_space();
            if self.take("}") {
                return Ok(Value::Object(members));
            }
            if !self.take(",") {
                return Err(self.error("the object does not end"));
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<Value, JsonError> {
        let mut values = Vec::new();
        self.at += 1;
        self.skip_white_space();
        if self.take("]") {
            return Ok(Value::Array(values));
        }
        loop {
            values.push(self.value(depth + 1)?);
            self.skip_white_space();
            if self.take("]") {
                return Ok(Value::Array(values));
            }
            if !self.take(",") {
                return Err(self.error("the array does not end"));
            }
        }
    }

    fn string(&mut self) -> Result<String, JsonError> {
        self.at += 1;
        let mut string = String::new();
        loop {
            let Some(next) = self.rest().chars().next() else {
                return Err(self.error("the string does not end"));
            };
            match next {
                '\0'..='\x1f' => return Err(self.error("a control character is in a string")),
                '\\' => string.push(self.escape()?),
                _ => self.at += next.len_utf8(),
            }
            match next {
                '"' => return Ok(string),
                '\\' => {}
                _ => string.push(next),
            }
        }
    }

    fn escape(&mut self) -> Result<char, JsonError> {
        self.at += 1;
        let escaped = match self.peek() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\x08',
            Some(b'f') => '\x0c',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                return self.unicode_escape();
            }
            _ => return Err(self.error("the escape is not known")),
        };
        self.at += 1;
        Ok(escaped)
    }

    /// Behind `\u`. A character beyond the first plane is written as two surrogates.
    fn unicode_escape(&mut self) -> Result<char, JsonError> {
        let first = self.hex4()?;
        let is_high = (0xd800..0xdc00).contains(&first);
        let code = if is_high && self.take("\\u") {
            let second = self.hex4()?;
            let low = second.wrapping_sub(0xdc00);
            if low >= 0x400 {
                return Err(self.error("a surrogate is alone"));
            }
            0x1_0000 + ((first - 0xd800) << 10) + low
        } else {
            first
        };
        char::from_u32(code).ok_or_else(|| self.error("a surrogate is alone"))
    }

    fn hex4(&mut self) -> Result<u32, JsonError> {
        let digits = self.rest().get(..4).unwrap_or("");
        let is_hex = digits.len() == 4 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        let value = is_hex.then(|| u32::from_str_radix(digits, 16).ok());
        match value.flatten() {
            Some(value) => {
                self.at += 4;
                Ok(value)
            }
            None => Err(self.error("four hexadecimal digits are missing")),
        }
    }

    fn number(&mut self) -> Result<Value, JsonError> {
        let start = self.at;
        self.take("-");
        let whole = self.digits();
        if whole == 0 || (whole > 1 && self.text.as_bytes().get(self.at - whole) == Some(&b'0')) {
            return Err(self.error("the number is not written as JSON wants it"));
        }
        if self.take(".") && self.digits() == 0 {
            return Err(self.error("digits are missing"));
        }
        if self.take("e") || self.take("E") {
            let _ = self.take("+") || self.take("-");
            if self.digits() == 0 {
                return Err(self.error("digits are missing"));
            }
        }
        let text = self.text.get(start..self.at).unwrap_or("");
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Value::Number(number)),
            _ => Err(self.error("the number is too large")),
        }
    }

    fn digits(&mut self) -> usize {
        let count = self.rest().bytes().take_while(u8::is_ascii_digit).count();
        self.at += count;
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_all_kinds_are_read() {
        let text = br#" { "a" : [ 1 , -2.5e1 , true , false , null ] , "b" : { } , "c" : "x\u00e9\n\ud83d\ude00" , "d" : [ ] } "#;
        let array = vec![
            Value::Number(1.0),
            Value::Number(-25.0),
            Value::Bool(true),
            Value::Bool(false),
            Value::Null,
        ];
        let expected = Value::Object(vec![
            ("a".into(), Value::Array(array)),
            ("b".into(), Value::Object(vec![])),
            ("c".into(), Value::String("x\u{e9}\n\u{1f600}".into())),
            ("d".into(), Value::Array(vec![])),
        ]);
        assert_eq!(parse(text), Ok(expected));
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for bad in [
            "",
            " ",
            "{",
            "}",
            "[1,]",
            "{\"a\":1,}",
            "{a:1}",
            "{'a':1}",
            "{\"a\" 1}",
            "01",
            "-",
            "1.",
            ".5",
            "1e",
            "+1",
            "0x1",
            "NaN",
            "1e999",
            "tru",
            "nullx",
            "1 2",
            "\"",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\u+123\"",
            "\"\\ud800\"",
            "\"\\ud800\\u0041\"",
            "\"\\udc00\"",
            "\"a\nb\"",
            "// c\n1",
            "\u{feff}1",
        ] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
        assert!(parse(&[b'"', 0xff, b'"']).is_err());
    }

    #[test]
    fn nesting_has_a_limit() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(parse(nested(DEPTH_MAX).as_bytes()).is_ok());
        assert!(parse(nested(DEPTH_MAX + 1).as_bytes()).is_err());
        assert!(parse("[".repeat(1 << 20).as_bytes()).is_err());
    }

    /// The same verdict and value as serde_json, for everything that is one byte away from a text with all of JSON in it.
    #[test]
    fn verdicts_are_those_of_serde_json() {
        let seed =
            br#"{"a":[1,-2.5e1,true,false,null],"b":{"c":"x\u00e9\ud83d\ude00\\ \"/"},"":0}"#;
        for place in 0..seed.len() {
            for byte in 0..=255u8 {
                let mut text = seed.to_vec();
                text[place] = byte;
                let expected: Result<serde_json::Value, _> = serde_json::from_slice(&text);
                let ours = parse(&text);
                assert_eq!(
                    ours.is_ok(),
                    expected.is_ok(),
                    "{}",
                    String::from_utf8_lossy(&text)
                );
                if let (Ok(ours), Ok(expected)) = (ours, expected) {
                    assert_eq!(to_serde(ours), normal(expected));
                }
            }
        }
    }

    fn to_serde(value: Value) -> serde_json::Value {
        match value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(value) => value.into(),
            Value::Number(value) => value.into(),
            Value::String(value) => value.into(),
            Value::Array(values) => values.into_iter().map(to_serde).collect(),
            Value::Object(members) => serde_json::Value::Object(
                members
                    .into_iter()
                    .map(|(key, value)| (key, to_serde(value)))
                    .collect(),
            ),
        }
    }

    /// Whole numbers as floating point, too.
    fn normal(value: serde_json::Value) -> serde_json::Value {
        match value {
            serde_json::Value::Number(number) => number.as_f64().into(),
            serde_json::Value::Array(values) => values.into_iter().map(normal).collect(),
            serde_json::Value::Object(members) => serde_json::Value::Object(
                members
                    .into_iter()
                    .map(|(key, value)| (key, normal(value)))
                    .collect(),
            ),
            other => other,
        }
    }
}
