# A heap of Ruby's, in the protocol of target.h.
rows = Array.new(200_000) { |i| { id: i, name: "user #{i}" } }
page = GC::INTERNAL_CONSTANTS[:HEAP_PAGE_SIZE] || 16_384
puts "ready heap=#{GC.stat[:heap_allocated_pages] * page}"
$stdout.flush
$stdin.gets
puts rows.size
