//! Capacities of lists that are many, grow slowly and live as long as the process.

/// The bytes that an allocator takes for so many anyway: multiples of 16 up to 128, then four sizes for every doubling.
pub fn size_class(bytes: usize) -> usize {
    bytes.next_multiple_of((bytes.next_power_of_two() / 8).max(16))
}

/// Makes room for one more element: as much as the next larger piece of memory holds, since doubling would leave much of it unused.
pub fn make_room<T>(list: &mut Vec<T>) {
    if list.len() == list.capacity() {
        let bytes = size_class((list.len() + 1) * size_of::<T>());
        list.reserve_exact(bytes / size_of::<T>() - list.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_allocators() {
        let classes = [1, 16, 17, 100, 128, 129, 252, 257, 5_000].map(size_class);
        assert_eq!(classes, [16, 16, 32, 112, 128, 160, 256, 320, 5_120]);
    }

    #[test]
    fn a_list_grows_to_what_its_piece_of_memory_holds() {
        let mut list: Vec<[u8; 12]> = Vec::new();
        let mut capacities = Vec::new();
        for _ in 0..22 {
            make_room(&mut list);
            list.push([0; 12]);
            capacities.push(list.capacity());
        }
        capacities.dedup();
        assert_eq!(capacities, [1, 2, 4, 5, 6, 8, 9, 10, 13, 16, 18, 21, 26]);
    }
}
