//! Places for requests under way. One client has a share of them at most: a client that is slow, or that asks for too
//! much, leaves the rest to the others.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A number of places, shared by all workers; cheap to clone.
#[derive(Clone)]
pub(crate) struct Places {
    taken: Arc<Mutex<Taken>>,
    number: u32,
    share: u32,
}

#[derive(Default)]
struct Taken {
    all: u32,
    by_client: HashMap<IpAddr, u32>,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoPlace {
    /// All are taken.
    Full,
    /// This client has its share.
    OfClient,
}

/// A place, free again when this is dropped.
pub(crate) struct Place {
    taken: Arc<Mutex<Taken>>,
    client: Option<IpAddr>,
}

impl Places {
    /// So many places, of which each client has this percentage at most, and one at least.
    pub(crate) fn new(number: u32, percent: u8) -> Self {
        let share = u64::from(number) * u64::from(percent) / 100;
        Self { taken: Arc::default(), number, share: u32::try_from(share).unwrap_or(number).max(1) }
    }

    /// A place for a client; one whose address is not known has no share of its own.
    pub(crate) fn take(&self, client: Option<IpAddr>) -> Result<Place, NoPlace> {
        let mut taken = lock(&self.taken);
        if taken.all >= self.number {
            return Err(NoPlace::Full);
        }
        if let Some(client) = client {
            let of_client = taken.by_client.entry(client).or_default();
            if *of_client >= self.share {
                return Err(NoPlace::OfClient);
            }
            *of_client += 1;
        }
        taken.all += 1;
        Ok(Place { taken: self.taken.clone(), client })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = lock(&self.taken);
        taken.all -= 1;
        let Some(client) = self.client else { return };
        if let Some(of_client) = taken.by_client.get_mut(&client) {
            *of_client -= 1;
            if *of_client == 0 {
                taken.by_client.remove(&client);
            }
        }
    }
}

fn lock(taken: &Mutex<Taken>) -> MutexGuard<'_, Taken> {
    // Nothing panics while it is locked.
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_with_its_share_leaves_the_rest_to_others() {
        let places = Places::new(10, 50);
        let [greedy, other] = [1, 2].map(|last| Some(IpAddr::from([192, 0, 2, last])));
        let mut taken: Vec<Place> = (0..5).map(|_| places.take(greedy).ok().unwrap()).collect();
        assert_eq!(places.take(greedy).err(), Some(NoPlace::OfClient));
        taken.extend((0..5).map(|_| places.take(other).ok().unwrap()));
        assert_eq!(places.take(None).err(), Some(NoPlace::Full));
        drop(taken);
        assert!(places.take(greedy).is_ok());
        assert!(lock(&places.taken).by_client.is_empty());
    }

    #[test]
    fn a_share_is_one_place_at_least() {
        let client = Some(IpAddr::from([192, 0, 2, 1]));
        assert!(Places::new(1, 50).take(client).is_ok());
    }
}
