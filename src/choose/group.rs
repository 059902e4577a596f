//! The best connected group of a number of devices.
//!
//! Pure. A group is better whose inner links weigh more; of equals, one whose links to the rest weigh less, so that the rest stays
//! well connected; of equals, one with lower indices.

use super::Link;

/// Searching all groups of 16 devices takes 0.1 ms up to here; above, a group grows from each device instead.
const MOST_GROUPS: usize = 4096;

/// `wanted` of the `tied` devices that make the best group together with `certain`.
pub(super) fn best(
    certain: &[usize],
    tied: &[usize],
    wanted: usize,
    links: &dyn Fn(usize, usize) -> Link,
) -> Vec<usize> {
    let table = Weights::new(certain, tied, links);
    let places = if groups(tied.len(), wanted) <= MOST_GROUPS { table.searched(wanted) } else { table.grown(wanted) };
    places.into_iter().filter_map(|place| tied.get(place).copied()).collect()
}

/// How many groups of `wanted` there are among `count` devices; more than [`MOST_GROUPS`] is any larger number.
fn groups(count: usize, wanted: usize) -> usize {
    let mut groups: usize = 1;
    for step in 0..wanted.min(count - wanted) {
        groups = groups.saturating_mul(count - step) / (step + 1);
        if groups > MOST_GROUPS {
            break;
        }
    }
    groups
}

/// The weights of the links among tied devices, and of each to those that are certain.
struct Weights {
    count: usize,
    pairs: Vec<u32>,
    /// Of each to the certain ones, and to all tied ones.
    to_certain: Vec<u32>,
    to_all: Vec<u32>,
}

/// How good a group is: its inner weight, and what it weighs towards the rest, of which less is better.
type Score = (u32, std::cmp::Reverse<u32>);

impl Weights {
    fn new(certain: &[usize], tied: &[usize], links: &dyn Fn(usize, usize) -> Link) -> Self {
        // What only one side says of a link is not relied on: a lost peer or an old kernel leaves half of it.
        let weight = |a: usize, b: usize| links(a, b).min(links(b, a)).weight();
        let pairs = tied.iter().flat_map(|a| tied.iter().map(move |b| (*a, *b)));
        let pairs: Vec<u32> = pairs.map(|(a, b)| if a == b { 0 } else { weight(a, b) }).collect();
        let to_certain = tied.iter().map(|a| certain.iter().map(|b| weight(*a, *b)).sum()).collect();
        let to_all = pairs.chunks(tied.len()).map(|row| row.iter().sum()).collect();
        Weights { count: tied.len(), pairs, to_certain, to_all }
    }

    fn pair(&self, a: usize, b: usize) -> u32 {
        self.pairs.get(a * self.count + b).copied().unwrap_or_default()
    }

    fn score(&self, group: &[usize]) -> Score {
        let at = |list: &[u32], place: usize| list.get(place).copied().unwrap_or_default();
        let inner: u32 =
            group.iter().enumerate().flat_map(|(n, a)| group.iter().skip(n + 1).map(|b| self.pair(*a, *b))).sum();
        let certain: u32 = group.iter().map(|place| at(&self.to_certain, *place)).sum();
        let all: u32 = group.iter().map(|place| at(&self.to_all, *place)).sum();
        (inner + certain, std::cmp::Reverse(all - 2 * inner))
    }

    /// The best of all groups. Groups come in the order of their indices, so the first of equals has the lowest.
    fn searched(&self, wanted: usize) -> Vec<usize> {
        let mut group: Vec<usize> = (0..wanted).collect();
        let mut best = (self.score(&group), group.clone());
        while self.advance(&mut group) {
            let score = self.score(&group);
            if score > best.0 {
                best = (score, group.clone());
            }
        }
        best.1
    }

    /// Puts the next group in the place of `group`, until there is none.
    fn advance(&self, group: &mut [usize]) -> bool {
        let wanted = group.len();
        let movable = |(n, place): &(usize, usize)| *place < self.count - wanted + n;
        let Some((n, place)) = group.iter().copied().enumerate().rev().find(movable) else { return false };
        group.iter_mut().skip(n).zip(place + 1..).for_each(|(slot, next)| *slot = next);
        true
    }

    /// The best of the groups that grow from each device by the device that fits best.
    fn grown(&self, wanted: usize) -> Vec<usize> {
        let mut best: Option<(Score, Vec<usize>)> = None;
        for seed in 0..self.count {
            let mut group = vec![seed];
            while group.len() < wanted {
                let outside = (0..self.count).filter(|place| !group.contains(place));
                let added = |place: usize| {
                    group.iter().map(|member| self.pair(*member, place)).sum::<u32>()
                        + self.to_certain.get(place).copied().unwrap_or_default()
                };
                // The last maximum of a reversed list is the lowest index.
                let Some(next) = outside.rev().max_by_key(|place| added(*place)) else { break };
                group.push(next);
            }
            group.sort_unstable();
            let score = self.score(&group);
            let is_better = |(known, than): &(Score, Vec<usize>)| score > *known || score == *known && group < *than;
            if best.as_ref().is_none_or(is_better) {
                best = Some((score, group));
            }
        }
        best.map(|(_, group)| group).unwrap_or_default()
    }
}
