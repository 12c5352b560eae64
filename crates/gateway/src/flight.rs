//! Single flight: many requests for one content share one fetch and one scan.
//!
//! The work runs on its own task, so it goes on when the client that started it leaves; a later request joins it.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;
use tokio::time::{Duration, timeout};

/// Where the outcome of a piece of work will appear.
#[derive(Clone)]
pub struct Seat<V>(watch::Receiver<Option<V>>);

/// What came of waiting.
#[derive(Debug, PartialEq, Eq)]
pub enum Waited<V> {
    /// The outcome.
    Done(V),
    /// Not yet.
    Pending,
    /// The work was lost (it panicked, or the gate is stopping).
    Lost,
}

impl<V: Clone> Seat<V> {
    /// Waits at most `limit`.
    pub async fn wait(&mut self, limit: Duration) -> Waited<V> {
        match timeout(limit, self.0.wait_for(Option::is_some)).await {
            Err(_) => Waited::Pending,
            Ok(Err(_)) => Waited::Lost,
            Ok(Ok(value)) => value.clone().map_or(Waited::Lost, Waited::Done),
        }
    }
}

type Running<K, V> = Mutex<HashMap<K, Seat<V>>>;

/// Work in progress, by key.
pub struct Flight<K, V>(Arc<Running<K, V>>);

impl<K, V> Default for Flight<K, V> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

/// Frees the key whatever happens to the task, and before anybody can see the outcome: whoever sees it and asks
/// again starts anew.
struct Landing<K: Eq + Hash, V> {
    running: Arc<Running<K, V>>,
    key: K,
    outcome: Option<V>,
    tx: watch::Sender<Option<V>>,
}

impl<K: Eq + Hash, V> Landing<K, V> {
    fn land(mut self, value: V) {
        self.outcome = Some(value);
    }
}

impl<K: Eq + Hash, V> Drop for Landing<K, V> {
    fn drop(&mut self) {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
        if let Some(value) = self.outcome.take() {
            let _ = self.tx.send(Some(value));
        }
    }
}

impl<K, V> Flight<K, V>
where
    K: Eq + Hash + Clone + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Joins the work under `key`, or starts `work`.
    pub fn join<F>(&self, key: K, work: impl FnOnce() -> F) -> Seat<V>
    where
        F: Future<Output = V> + Send + 'static,
    {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(seat) = running.get(&key) {
            return seat.clone();
        }
        let (tx, rx) = watch::channel(None);
        let seat = Seat(rx);
        running.insert(key.clone(), seat.clone());
        let landing = Landing { running: self.0.clone(), key, outcome: None, tx };
        let work = work();
        tokio::spawn(async move {
            let value = work.await;
            landing.land(value);
        });
        seat
    }

    /// True if there is work under `key`.
    pub fn has(&self, key: &K) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains_key(key)
    }

    /// Pieces of work in progress.
    pub fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};
    use tokio::sync::Notify;

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn work_is_shared_and_outlives_its_starter() {
        let flight = Flight::<u8, u32>::default();
        let runs = Arc::new(AtomicU32::new(0));
        let go = Arc::new(Notify::new());
        let start = |runs: Arc<AtomicU32>, go: Arc<Notify>| async move {
            go.notified().await;
            runs.fetch_add(1, Ordering::SeqCst) + 7
        };
        let first = flight.join(1, || start(runs.clone(), go.clone()));
        let mut second = flight.join(1, || start(runs.clone(), go.clone()));
        drop(first);
        assert_eq!(second.wait(Duration::ZERO).await, Waited::Pending);
        go.notify_one();
        assert_eq!(second.wait(LONG).await, Waited::Done(7));
        assert_eq!((runs.load(Ordering::SeqCst), flight.len()), (1, 0));
    }

    #[tokio::test]
    async fn a_lost_task_frees_its_key() {
        let flight = Flight::<u8, u32>::default();
        let mut seat = flight.join(1, || async { panic!("on purpose") });
        assert_eq!(seat.wait(LONG).await, Waited::Lost);
        assert_eq!(flight.len(), 0);
    }
}
