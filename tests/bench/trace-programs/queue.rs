use std::{collections::HashMap, thread::sleep, time::Duration};

fn main() {
    let mut requests: HashMap<u64, Vec<u8>> = HashMap::new();
    let mut queue = Vec::new();
    for tick in 0u64.. {
        for n in 0..20 {
            requests.insert(tick << 8 | n, vec![1; 700]);
        }
        for n in 0..200u64 {
            queue.push(vec![1u8; (100 + tick * n % 5000) as usize]);
        }
        // Every other request is answered.
        requests.remove(&(tick << 8));
        if tick % 7 == 6 {
            queue.clear();
        }
        sleep(Duration::from_secs(1));
    }
}
