//! Proves, before the first record, that the store can do what the guarantee rests on.

use bytes::Bytes;

use super::FilesSink;
use crate::error::{Error, Kind};
use crate::store::{Created, Moved, Store};

impl FilesSink {
    /// Writes, reads, lists, moves and deletes a small object where the data and the state lie, and has a second
    /// create of it refused. Leaves nothing behind.
    ///
    /// Errors: `Config`, naming what the store cannot do or does not allow; `Retry`, when it cannot be reached.
    pub async fn probe(&self) -> Result<(), Error> {
        let name = uuid::Uuid::now_v7().simple().to_string();
        for (store, folder) in [(&self.data, self.paths.probe()), (&self.state, "probe".to_owned())] {
            let (from, to) = (format!("{folder}/{name}.json"), format!("{folder}/{name}.moved"));
            let proved = prove(&**store, &folder, &from, &to).await;
            let cleaned = store.delete(&from).await.and(store.delete(&to).await);
            store.remove_folder(&folder).await;
            proved.and(cleaned)?;
        }
        Ok(())
    }
}

async fn prove(store: &dyn Store, folder: &str, from: &str, to: &str) -> Result<(), Error> {
    let (first, second) = (Bytes::from_static(b"first"), Bytes::from_static(b"second"));
    let unfit = |what: &str| Err(Error::new(Kind::Config, format!("{store} is no place for a sink: {what}")));
    // The answer may be "exists" after a repeated request; what counts is what is read.
    store.create(from, first.clone()).await?;
    if store.get(from).await?.as_ref() != Some(&first) {
        return unfit("it does not return what was just written");
    }
    let again = store.create(from, second).await?;
    if again == Created::Created || store.get(from).await?.as_ref() != Some(&first) {
        return unfit(
            "it ignores the condition to write only what is absent, so writers would overwrite each other",
        );
    }
    if !store.list(folder).await?.iter().any(|entry| entry.path == from && entry.size == first.len() as u64) {
        return unfit("a listing does not show what was just written");
    }
    let moved = store.move_to_final(from, to, first.len() as u64).await?;
    if moved != Moved::Moved || store.get(from).await?.is_some() || store.get(to).await? != Some(first) {
        return unfit("it does not move an object");
    }
    store.delete(to).await?;
    if store.list(folder).await?.iter().any(|entry| entry.path == to) {
        return unfit("a listing still shows what was just deleted");
    }
    Ok(())
}
