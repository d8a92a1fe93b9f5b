"""ROS 2 node that derains stereo streams; the network and its engines are in apanet_core."""
