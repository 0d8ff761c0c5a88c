//! Proves, before the first record, that the store can do what the guarantee rests on.

use bytes::Bytes;

use super::{Chain, Proof, paths};
use crate::model::error::{Error, Kind};
use crate::store::{Moved, Store};

impl Chain {
    /// Proves that checkpoints are created at most once; writes, reads, lists, moves and deletes a small
    /// object where the staged files and the state lie; and has the tables proved. Leaves nothing behind.
    ///
    /// Errors: `Refused`, where writers would overwrite each other's checkpoints; `Config`, naming what the
    /// store cannot do or does not allow; `Retry`, when it cannot be reached.
    pub async fn probe(&self) -> Result<Proof, Error> {
        // Also where this process has proved it before: whoever asks wants to know how it is now.
        let proof = self.race().await?;
        let name = uuid::Uuid::now_v7().simple().to_string();
        for (store, folder) in [(&self.data, self.paths.probe()), (&self.state, paths::PROBE.to_owned())] {
            let (from, to) = (format!("{folder}/{name}.json"), format!("{folder}/{name}.moved"));
            let proved = prove(&**store, &folder, &from, &to).await;
            let cleaned = store.delete(&from).await.and(store.delete(&to).await);
            store.remove_folder(&folder).await;
            proved.and(cleaned)?;
        }
        self.table.probe(None).await?;
        Ok(proof)
    }
}

async fn prove(store: &dyn Store, folder: &str, from: &str, to: &str) -> Result<(), Error> {
    let first = Bytes::from_static(b"first");
    let unfit = |what: &str| Err(Error::new(Kind::Config, format!("{store} is no place for a sink: {what}")));
    // The answer may be "exists" after a repeated request; what counts is what is read.
    store.create(from, first.clone()).await?;
    if store.get(from).await?.as_ref() != Some(&first) {
        return unfit("it does not return what was just written");
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
