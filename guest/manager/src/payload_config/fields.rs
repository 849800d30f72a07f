//! The members of a JSON object, read by key and type.

use super::ConfigError;
use crate::json::Value;

/// The members of an object, by key.
pub(super) struct Fields<'a> {
    name: &'static str,
    members: &'a [(String, Value)],
}

impl<'a> Fields<'a> {
    pub fn of(value: &'a Value, name: &'static str) -> Result<Self, ConfigError> {
        match value {
            Value::Object(members) => Ok(Self { name, members }),
            _ => Err(ConfigError::new(format!("{name} must be an object"))),
        }
    }

    /// A key that means something must not be there twice: readers differ on which one counts.
    pub fn present(&self, key: &str) -> Result<Option<&'a Value>, ConfigError> {
        let mut found = self.members.iter().filter(|(name, _)| name == key);
        match (found.next(), found.next()) {
            (None, _) => Ok(None),
            (Some((_, value)), None) => Ok(Some(value)),
            (Some(_), Some(_)) => Err(ConfigError::new(format!(
                "{}: {key} is there twice",
                self.name
            ))),
        }
    }

    /// `null` is nothing.
    pub fn value(&self, key: &str) -> Result<Option<&'a Value>, ConfigError> {
        Ok(self.present(key)?.filter(|value| **value != Value::Null))
    }

    pub fn wrong_type(&self, key: &str) -> ConfigError {
        ConfigError::new(format!("{}: {key} has another type", self.name))
    }

    pub fn text(&self, key: &str) -> Result<Option<&'a str>, ConfigError> {
        match self.present(key)? {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.wrong_type(key)),
        }
    }

    pub fn required_text(&self, key: &str) -> Result<&'a str, ConfigError> {
        self.text(key)?
            .ok_or_else(|| ConfigError::new(format!("{}: {key} is missing", self.name)))
    }

    pub fn flag(&self, key: &str) -> Result<Option<bool>, ConfigError> {
        match self.value(key)? {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(*value)),
            Some(_) => Err(self.wrong_type(key)),
        }
    }

    /// One that is false when it is not there, and cannot be null.
    pub fn required_flag(&self, key: &str) -> Result<bool, ConfigError> {
        match self.present(key)? {
            None => Ok(false),
            Some(Value::Bool(value)) => Ok(*value),
            Some(_) => Err(self.wrong_type(key)),
        }
    }

    pub fn list(&self, key: &str) -> Result<&'a [Value], ConfigError> {
        match self.present(key)? {
            None => Ok(&[]),
            Some(Value::Array(values)) => Ok(values),
            Some(_) => Err(self.wrong_type(key)),
        }
    }
}
