//! What is believed of a server's answers.

use std::sync::atomic::{AtomicU32, Ordering};

use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, PutMultipartOptions,
    PutPayload, PutResult, Result as Answer, UploadPart,
};

use super::*;

/// What a server does otherwise than it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    None,
    /// A copy is answered, and nothing is written.
    NoCopy,
    /// A copy is answered, and half of it is written.
    HalfACopy,
    /// The answer to a copy is lost.
    NoAnswerToACopy,
    /// A copy fails, and is made while its failure is thought over.
    LateCopy,
    /// A part of an upload does not find the upload.
    NoUploadForAPart,
    /// The end of an upload does not find the upload.
    NoUploadToComplete,
}

#[derive(Debug)]
struct Flawed {
    inner: Arc<InMemory>,
    flaw: Flaw,
    copies: AtomicU32,
}

fn store(flaw: Flaw) -> Object {
    flawed(flaw).1
}

fn flawed(flaw: Flaw) -> (Arc<Flawed>, Object) {
    let flawed = Arc::new(Flawed { inner: Arc::new(InMemory::new()), flaw, copies: AtomicU32::new(0) });
    let store = Object::new(flawed.clone(), "memory://", "");
    (flawed, store)
}

/// A copy made twice changes a file that readers may have seen already.
#[tokio::test(start_paused = true)]
async fn a_copy_is_looked_for_before_it_is_asked_for_again() {
    for flaw in [Flaw::NoAnswerToACopy, Flaw::LateCopy] {
        let (flawed, store) = flawed(flaw);
        let second = Duration::from_secs(1);
        let store = store
            .with_copier(flawed.clone(), Retries { request_timeout: second, retry_timeout: 30 * second });
        store.put("s/a.staged", Bytes::from_static(b"rows")).await.unwrap();
        assert_eq!(
            store.move_to_final("s/a.staged", "t/a.parquet", 4).await.unwrap(),
            Moved::Moved,
            "{flaw:?}"
        );
        assert_eq!(flawed.copies.load(Ordering::Relaxed), 1, "{flaw:?}");
        assert_eq!(store.get("s/a.staged").await.unwrap(), None, "{flaw:?}");
    }
}

fn not_found(path: &Path) -> object_store::Error {
    object_store::Error::NotFound { path: path.to_string(), source: "NoSuchUpload".into() }
}

#[tokio::test]
async fn a_copy_is_believed_when_all_of_it_is_there() {
    for flaw in [Flaw::None, Flaw::NoCopy, Flaw::HalfACopy] {
        let store = store(flaw);
        store.put("s/a.staged", Bytes::from_static(b"rows")).await.unwrap();
        let moved = store.move_to_final("s/a.staged", "t/a.parquet", 4).await;
        let staged = store.get("s/a.staged").await.unwrap();
        if flaw == Flaw::None {
            assert_eq!((moved.unwrap(), staged), (Moved::Moved, None));
        } else {
            let error = moved.unwrap_err();
            assert_eq!(error.kind, Kind::Retry, "{flaw:?}: {error}");
            assert_eq!(staged.unwrap(), "rows", "{flaw:?}: the only whole copy");
        }
    }
}

/// To take it for a missing bucket would end the job.
#[tokio::test]
async fn an_upload_that_is_gone_is_begun_anew() {
    for flaw in [Flaw::NoUploadForAPart, Flaw::NoUploadToComplete] {
        let mut upload = store(flaw).upload("s/a.staged").await.unwrap();
        upload.write(Bytes::from(vec![0; upload::PART_BYTES + 1])).await.unwrap();
        let error = upload.finish().await.unwrap_err();
        assert_eq!(error.kind, Kind::Retry, "{flaw:?}: {error}");
    }
}

impl fmt::Display for Flawed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.flaw)
    }
}

#[async_trait]
impl ObjectStore for Flawed {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Answer<PutResult> {
        self.inner.put_opts(path, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Answer<Box<dyn MultipartUpload>> {
        let inner = self.inner.put_multipart_opts(path, options).await?;
        Ok(Box::new(FlawedUpload { inner, path: path.clone(), flaw: self.flaw }))
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Answer<GetResult> {
        self.inner.get_opts(path, options).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Answer<Path>>) -> BoxStream<'static, Answer<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Answer<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Answer<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Answer<()> {
        self.copies.fetch_add(1, Ordering::Relaxed);
        match self.flaw {
            Flaw::NoCopy => Ok(()),
            Flaw::NoAnswerToACopy => {
                self.inner.copy_opts(from, to, options).await?;
                std::future::pending().await
            }
            Flaw::LateCopy => {
                let (inner, from, to) = (self.inner.clone(), from.clone(), to.clone());
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    inner.copy(&from, &to).await
                });
                Err(object_store::Error::Generic { store: "memory", source: "timed out".into() })
            }
            Flaw::HalfACopy => {
                let bytes = self.inner.get(from).await?.bytes().await?;
                self.inner.put(to, bytes.slice(..bytes.len() / 2).into()).await.map(drop)
            }
            _ => self.inner.copy_opts(from, to, options).await,
        }
    }
}

#[derive(Debug)]
struct FlawedUpload {
    inner: Box<dyn MultipartUpload>,
    path: Path,
    flaw: Flaw,
}

#[async_trait]
impl MultipartUpload for FlawedUpload {
    fn put_part(&mut self, part: PutPayload) -> UploadPart {
        if self.flaw == Flaw::NoUploadForAPart {
            let gone = not_found(&self.path);
            return Box::pin(async move { Err(gone) });
        }
        self.inner.put_part(part)
    }

    async fn complete(&mut self) -> Answer<PutResult> {
        if self.flaw == Flaw::NoUploadToComplete {
            return Err(not_found(&self.path));
        }
        self.inner.complete().await
    }

    async fn abort(&mut self) -> Answer<()> {
        self.inner.abort().await
    }
}
