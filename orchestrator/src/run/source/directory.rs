//! A directory of each job's own to run in, whose name is made of its item.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use serde_bytes::ByteBuf;

use super::item::Item;
use super::label::Label;
use crate::run::text;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Directory {
    /// Where relative names begin.
    pub(crate) base: PathBuf,
    pub(crate) name: Label,
    /// Whether it is made, which it need not be for jobs that are only shown.
    pub(crate) make: bool,
}

impl Directory {
    /// The directory of the job with this number, of this item. It is there then.
    ///
    /// # Errors
    /// When it cannot be made; why, in a sentence.
    pub(super) fn of(&self, item: Item<'_>, seq: u64) -> Result<ByteBuf, String> {
        let name = self.name.fill(item, seq, None);
        let path = self.base.join(OsStr::from_bytes(&name));
        if self.make {
            fs::create_dir_all(&path).map_err(|e| {
                let shown = text::quoted(&name);
                let reason = text::reason(&e);
                format!("--wd {shown} cannot be its directory: {reason}")
            })?;
        }
        Ok(ByteBuf::from(path.into_os_string().into_vec()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::place::Places;
    use super::*;

    #[test]
    fn a_directory_is_made_of_the_item() {
        let root = tempfile::tempdir().unwrap();
        let directory = |make| Directory {
            base: root.path().to_owned(),
            name: Label::parse(b"d/{/.}-{#}", &Places::default()).unwrap(),
            make,
        };
        let item = Item::value(b"x/y.c");
        let path = root.path().join("d/y-3");
        let expected = ByteBuf::from(path.as_os_str().as_bytes());
        assert_eq!(directory(false).of(item, 3), Ok(expected.clone()));
        assert!(!path.exists());
        assert_eq!(directory(true).of(item, 3), Ok(expected));
        assert!(path.is_dir());
        let taken = Item::value(b"y-3/z");
        fs::write(root.path().join("d/z-4"), "").unwrap();
        let said = directory(true).of(taken, 4).unwrap_err();
        assert!(
            said.starts_with("--wd `d/z-4` cannot be its directory: "),
            "{said}"
        );
    }
}
