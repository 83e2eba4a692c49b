//! Who is served: a bounded table of connections, in which no client takes all places.
//!
//! An address holds at most its share of the places. A client that finds no place takes
//! that of the connection which is idle for longest: of its own address where its share is
//! used up, else of the address that holds most. Where none is idle it is refused.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use super::activity::Activity;

/// The table. Clones share it.
#[derive(Debug, Clone)]
pub struct Places {
    table: Arc<Mutex<Table>>,
    bounds: Bounds,
}

/// How many connections are served at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Of all clients together.
    pub total: usize,
    /// Of one address.
    pub address: usize,
    /// Of the total, kept for clients on this machine.
    pub local: usize,
}

/// A place that is taken; free again when dropped.
#[derive(Debug)]
pub struct Place {
    number: u64,
    places: Places,
    closer: Arc<Notify>,
    /// What its connection is doing.
    pub activity: Arc<Activity>,
}

/// A client, as far as places go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Client {
    address: IpAddr,
    is_local: bool,
}

#[derive(Debug, Default)]
struct Table {
    taken: HashMap<u64, Taken>,
    next: u64,
}

#[derive(Debug)]
struct Taken {
    client: Client,
    activity: Arc<Activity>,
    closer: Arc<Notify>,
}

impl Bounds {
    /// So many places: a quarter for one address, an eighth kept for this machine's clients.
    pub fn of(total: usize) -> Self {
        Self { total, address: total.div_ceil(4), local: total / 8 }
    }
}

impl Client {
    /// Whoever reaches a socket in the file system: a client on this machine.
    pub const LOCAL: Self = Self { address: IpAddr::V4(Ipv4Addr::LOCALHOST), is_local: true };

    /// The client at `peer` of a connection to `local`. Addresses of one IPv6 network of 64
    /// bits are one, and so are those of loopback: whoever has one of them has all.
    pub fn new(peer: IpAddr, local: IpAddr) -> Self {
        let (peer, local) = (peer.to_canonical(), local.to_canonical());
        let address = match peer {
            loopback if loopback.is_loopback() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
            IpAddr::V4(_) => peer,
        };
        Self { address, is_local: peer.is_loopback() || peer == local }
    }

    /// The address that its places count for.
    pub fn address(&self) -> IpAddr {
        self.address
    }
}

impl Places {
    /// A table of free places.
    pub fn new(bounds: Bounds) -> Self {
        Self { table: Arc::default(), bounds }
    }

    /// Takes a place, from an idle connection if need be; none where all are busy.
    pub fn take(&self, client: Client) -> Option<Place> {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if table.of(client.address) >= self.bounds.address {
            table.close_idle(client.address)?;
        }
        let Bounds { total, local, .. } = self.bounds;
        if !client.is_local && table.of_elsewhere() >= total - local {
            table.close_idle_of_most(|client| !client.is_local)?;
        } else if table.taken.len() >= total {
            table.close_idle_of_most(|_| true)?;
        }
        let (activity, closer) = (Arc::new(Activity::new()), Arc::new(Notify::new()));
        let number = table.next;
        table.next += 1;
        let taken = Taken { client, activity: activity.clone(), closer: closer.clone() };
        table.taken.insert(number, taken);
        Some(Place { number, places: self.clone(), closer, activity })
    }

    /// Closes a connection that is idle; whether there was one.
    pub fn close_idle(&self) -> bool {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.close_idle_of_most(|_| true).is_some()
    }

    /// How many places are taken: by connections that are idle, and by busy ones.
    pub fn count(&self) -> (usize, usize) {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = table.taken.values().filter(|t| t.activity.idle().is_some()).count();
        (idle, table.taken.len() - idle)
    }
}

impl Place {
    /// Waits until the place is given to another.
    pub async fn closed(&self) {
        self.closer.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self.places.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.taken.remove(&self.number);
    }
}

impl Table {
    /// Places of one address.
    fn of(&self, address: IpAddr) -> usize {
        self.taken.values().filter(|t| t.client.address == address).count()
    }

    /// Places of clients that are not on this machine.
    fn of_elsewhere(&self) -> usize {
        self.taken.values().filter(|t| !t.client.is_local).count()
    }

    /// Frees the place that is idle for longest, of the address that holds most of those
    /// which hold an idle one; none where all are busy.
    fn close_idle_of_most(&mut self, may_close: impl Fn(Client) -> bool) -> Option<()> {
        let idle = self.taken.values().filter(|t| t.activity.idle().is_some());
        let closable = idle.filter(|t| may_close(t.client));
        let most = closable.map(|t| t.client.address).max_by_key(|address| self.of(*address))?;
        self.close_idle(most)
    }

    /// Frees the place of an address that is idle for longest; none where all are busy.
    fn close_idle(&mut self, address: IpAddr) -> Option<()> {
        let own = self.taken.iter().filter(|(_, taken)| taken.client.address == address);
        let idle = own.filter_map(|(number, taken)| Some((taken.activity.idle()?, *number)));
        // Of those that are idle for equally long, the first to come.
        let (_, number) = idle.max_by_key(|(idle, number)| (*idle, Reverse(*number)))?;
        let taken = self.taken.remove(&number)?;
        taken.closer.notify_one();
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(address: &str) -> Client {
        Client::new(address.parse().expect("an address"), "10.0.0.1".parse().expect("one"))
    }

    fn places() -> Places {
        Places::new(Bounds::of(64))
    }

    fn begin(held: &[Place]) {
        for place in held {
            place.activity.begin();
        }
    }

    fn is_closed(place: &Place) -> bool {
        !place.places.table.lock().expect("no panic").taken.contains_key(&place.number)
    }

    #[test]
    fn an_address_holds_its_share_and_gives_up_what_is_idle_first() {
        let places = places();
        let mut held: Vec<_> = (0..16).map(|_| places.take(client("10.0.0.9"))).collect();
        assert!(held.iter().all(Option::is_some));
        held.push(places.take(client("10.0.0.9")));
        let held: Vec<_> = held.into_iter().flatten().collect();
        assert_eq!((held.len(), places.count()), (17, (16, 0)));
        assert!(is_closed(&held[0]) && held[1..].iter().all(|p| !is_closed(p)));
        begin(&held);
        assert!(places.take(client("10.0.0.9")).is_none());
        assert!(places.take(client("10.0.0.8")).is_some());
    }

    #[test]
    fn who_holds_most_makes_room_for_others() {
        let places = places();
        let held: Vec<_> = (0..14_u8)
            .flat_map(|host| (0..4).map(move |_| format!("10.0.1.{host}")))
            .map(|address| places.take(client(&address)).expect("there is room"))
            .collect();
        assert_eq!(held.len(), 56);
        let more = places.take(client("10.0.1.0")).expect("an idle one gives up its place");
        let newcomer = places.take(client("10.0.2.1")).expect("likewise");
        assert_eq!(places.count(), (56, 0));
        assert!(!is_closed(&more) && !is_closed(&newcomer));
        // The rest is kept for this machine's own clients.
        let own: Vec<_> = (0..8).map(|_| places.take(client("127.0.0.1"))).collect();
        assert!(own.iter().flatten().all(|place| !is_closed(place)));
        assert_eq!((own.len(), places.count()), (8, (64, 0)));
    }

    #[test]
    fn where_all_are_busy_only_this_machine_has_room() {
        let places = places();
        let held: Vec<_> =
            (0..56_u8).filter_map(|host| places.take(client(&format!("10.0.1.{host}")))).collect();
        begin(&held);
        assert_eq!((held.len(), places.count()), (56, (0, 56)));
        assert!(places.take(client("10.0.2.1")).is_none());
        assert!(places.take(client("127.0.0.1")).is_some());
        assert!(places.take(client("10.0.0.1")).is_some());
        drop(held);
        assert!(places.take(client("10.0.2.1")).is_some());
    }

    #[test]
    fn addresses_that_one_host_has_are_one() {
        assert_eq!(client("fd00::1:2:3:4:5"), client("fd00::1:9:9:9:9"));
        assert_ne!(client("fd00:0:0:1::1"), client("fd00:0:0:2::1"));
        assert_eq!(client("::ffff:10.0.0.9"), client("10.0.0.9"));
        assert_eq!(client("::1"), client("127.0.0.53"));
        assert!(client("10.0.0.1").is_local && !client("10.0.0.9").is_local);
    }
}
