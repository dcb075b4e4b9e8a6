//! Organisations as records. Numbers are given in order of creation; number 0 is the hub's own organisation.

use super::{Change, Parts, Record, RecordsError, Writer};
use model::{OrgNo, Organisation};
use serde::de::Error as _;
use serde_json::Value;

/// Characters of a name at the most.
pub const MAX_NAME: usize = 200;

impl Record for Organisation {
    const KIND: &'static str = "organisation";

    fn id(&self) -> String {
        self.id.to_string()
    }

    fn content(&self) -> Result<String, serde_json::Error> {
        let mut content = serde_json::to_value(self)?;
        // The row has these; kept twice they could disagree.
        if let Some(fields) = content.as_object_mut() {
            fields.retain(|name, _| !matches!(name.as_str(), "version" | "created" | "updated"));
        }
        serde_json::to_string(&content)
    }

    fn from_parts(parts: Parts) -> Result<Self, serde_json::Error> {
        let mut content: Value = serde_json::from_str(&parts.content)?;
        let number = parts.number.ok_or_else(|| serde_json::Error::custom("an organisation without a number"))?;
        let fields = content.as_object_mut().ok_or_else(|| serde_json::Error::custom("content is not an object"))?;
        fields.insert("number".to_owned(), Value::from(number));
        fields.insert("version".to_owned(), Value::from(parts.version));
        fields.insert("created".to_owned(), Value::from(parts.created.to_string()));
        fields.insert("updated".to_owned(), Value::from(parts.updated.to_string()));
        serde_json::from_value(content)
    }

    fn number(&self) -> Option<u32> {
        Some(self.number.0)
    }

    fn unique_name(&self) -> Option<String> {
        Some(self.name.to_lowercase())
    }
}

impl Writer {
    /// Inserts the hub's own organisation where there is none yet; tells whether it did.
    pub async fn ensure_hub(&mut self, hub: &Organisation, change: &Change<'_>, control: &[Value]) -> Result<bool, RecordsError> {
        if self.has_number::<Organisation>(OrgNo::HUB.0).await? {
            return Ok(false);
        }
        self.insert(hub, change, control).await?;
        Ok(true)
    }
}
