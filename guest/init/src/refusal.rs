//! Why a boot ends: the link of the chain of trust, and the words for it.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    Bootconfig,
    Vbmeta,
    System,
    Partition,
}

impl Link {
    pub fn name(self) -> &'static str {
        match self {
            Self::Bootconfig => "bootconfig",
            Self::Vbmeta => "vbmeta",
            Self::System => "system",
            Self::Partition => "partition",
        }
    }
}

#[derive(Debug)]
pub struct Refusal {
    pub link: Link,
    pub text: String,
}

impl Refusal {
    pub fn new(link: Link, text: impl Into<String>) -> Self {
        Self {
            link,
            text: text.into(),
        }
    }
}
