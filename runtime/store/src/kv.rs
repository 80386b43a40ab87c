use callbox_model::Millis;

/// What `kv.put` asks for.
#[derive(Clone, Copy, Debug)]
pub struct Put<'a> {
    pub key: &'a str,
    pub value: &'a [u8],
    /// Only if this is still the current one; 0 is for a key that is not there.
    pub revision: Option<u32>,
    /// None keeps it for ever, whatever it was put with before.
    pub ttl: Option<Millis>,
}
