//! How many handles a store holds. The resident instance's `calls` asks, seldom; nothing is changed.

use wasmtime::{
    StoreContextMut,
    component::{Resource, ResourceAny},
};

use super::store::State;

/// What the guest can't see and is never used: it takes a place, and gives it back.
struct Place;

/// Handles of any kind, as far as they count for the limit past which the guest traps: that of the
/// handles themselves, or that of what the host keeps for them, whichever is nearer.
pub(super) fn count(mut store: StoreContextMut<'_, State>) -> usize {
    let kept = store.data_mut().table.iter_mut().count();
    kept.max(live(&mut store))
}

/// Wasmtime counts live handles and tells nobody, but it refuses one more where there are as many as
/// the limit. So the limit is moved to and fro, 17 times, until it is at their number.
fn live<T: 'static>(store: &mut StoreContextMut<'_, T>) -> usize {
    let limit = store.max_component_handles();
    let (mut least, mut more) = (0, limit.saturating_add(1));
    while more - least > 1 {
        let middle = least + (more - least) / 2;
        store.set_max_component_handles(middle);
        if takes_one_more(store) {
            more = middle;
        } else {
            least = middle;
        }
    }
    store.set_max_component_handles(limit);
    least
}

fn takes_one_more<T: 'static>(store: &mut StoreContextMut<'_, T>) -> bool {
    match ResourceAny::try_from_resource(Resource::<Place>::new_own(0), &mut *store) {
        Ok(place) => {
            let given_back = place.try_into_resource::<Place>(&mut *store);
            debug_assert!(given_back.is_ok(), "it was not the store's");
            true
        }
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use wasmtime::{AsContextMut as _, Engine, Store};

    use super::*;

    #[test]
    fn live_handles_are_counted_and_nothing_is_changed() {
        const LIMIT: usize = 1000;
        let mut store = Store::new(&Engine::default(), ());
        store.set_max_component_handles(LIMIT);
        let mut held = Vec::new();
        for number in [0, 1, 2, 7, 500, LIMIT - 1, LIMIT] {
            while held.len() < number {
                held.push(ResourceAny::try_from_resource(Resource::<u8>::new_own(1), &mut store).unwrap());
            }
            assert_eq!(live(&mut store.as_context_mut()), number);
            assert_eq!(live(&mut store.as_context_mut()), number, "again");
            assert_eq!(store.max_component_handles(), LIMIT);
        }
        while let Some(one) = held.pop() {
            one.try_into_resource::<u8>(&mut store).unwrap();
        }
        assert_eq!(live(&mut store.as_context_mut()), 0);
    }
}
